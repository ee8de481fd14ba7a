package tree_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// withLower is a session over directories that others saved, in two layers.
func withLower(t *testing.T) *session {
	t.Helper()
	w := newWorld(t)
	s := w.session()
	s.write2(t, map[string]string{"a/f": "f", "a/sub/g": "g", "a/sub/deep/h": "h", "b/x": "x", "b/sub/y": "y"})
	must(t, os.Symlink("f", s.path("a/link")))
	s.save()
	s = w.session()
	s.write("a/sub/second", "2")
	must(t, os.Remove(s.path("a/f")))
	s.write("a/new", "n")
	s.save()
	return w.session()
}

func (s *session) rename(from, to string) {
	s.t.Helper()
	must(s.t, unix.Rename(s.path(from), s.path(to)))
}

func (s *session) exchange(a, b string) {
	s.t.Helper()
	must(s.t, unix.Renameat2(unix.AT_FDCWD, s.path(a), unix.AT_FDCWD, s.path(b), unix.RENAME_EXCHANGE))
}

func (s *session) remove(rel string) {
	s.t.Helper()
	must(s.t, os.RemoveAll(s.path(rel)))
}

// A directory that came from the context can be renamed like any other.
func TestRenamedDirectoriesAreSavedWhole(t *testing.T) {
	for name, steps := range map[string][]func(s *session){
		"renamed":           {func(s *session) { s.rename("a", "c") }},
		"moved":             {func(s *session) { s.rename("a/sub", "b/moved") }},
		"moved into new":    {func(s *session) { s.write("new/f", ""); s.rename("a", "new/a") }, func(s *session) { s.rename("new", "newer") }},
		"twice":             {func(s *session) { s.rename("a", "c"); s.rename("c", "d") }},
		"in two saves":      {func(s *session) { s.rename("a", "c") }, func(s *session) { s.rename("c", "d") }},
		"and back":          {func(s *session) { s.rename("a", "c") }, func(s *session) { s.rename("c", "a") }},
		"back at once":      {func(s *session) { s.rename("a", "c"); s.rename("c", "a") }},
		"nested":            {func(s *session) { s.rename("a/sub/deep", "a/sub/d"); s.rename("a/sub", "a/s"); s.rename("a", "c") }},
		"nested and inside": {func(s *session) { s.rename("a", "c") }, func(s *session) { s.rename("c/sub", "c/s") }, func(s *session) { s.rename("c/s/deep", "deep") }},
		"exchanged":         {func(s *session) { s.exchange("a", "b") }, func(s *session) { s.exchange("a/sub", "b/sub") }},
		"over an empty one": {func(s *session) { s.remove("b/x"); s.remove("b/sub"); s.rename("a", "b") }},
		"over an opaque one": {func(s *session) {
			s.remove("b")
			must(s.t, os.Mkdir(s.path("b"), 0o755))
			s.rename("a", "b")
		}},
		"its name anew": {func(s *session) { s.rename("a", "c"); s.write("a/sub/g", "another") }, func(s *session) { s.write("a/sub/h", "third") }},
		"changed before": {func(s *session) {
			s.write("a/sub/g", "changed")
			s.remove("a/sub/second")
			s.rename("a", "c")
		}},
		"changed after": {func(s *session) { s.rename("a", "c") }, func(s *session) {
			s.write("c/sub/g", "changed")
			s.write("c/sub/deep/new", "new")
			s.remove("c/sub/second")
			s.remove("c/link")
		}, func(s *session) { s.remove("c/sub/deep") }},
		"replaced": {func(s *session) { s.rename("a", "c") }, func(s *session) { s.remove("c"); s.rename("b", "c") }},
		"removed":  {func(s *session) { s.rename("a", "c") }, func(s *session) { s.remove("c") }},
		"a mode":   {func(s *session) { s.rename("a", "c"); must(s.t, os.Chmod(s.path("c/sub"), 0o700)) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := withLower(t)
			for _, step := range steps {
				step(s)
				s.save()
				s.after("a saved rename")
				if n := s.changes(); n != 0 {
					t.Errorf("a saved rename has %d changes, want 0", n)
				}
			}
		})
	}
}

// What was in the context once, was removed and has come back is saved again,
// though it looks like what the session mounted.
func TestWhatComesBackIsSaved(t *testing.T) {
	s := withLower(t)
	away := filepath.Join(filepath.Dir(s.Upper), "away")
	move := func(from, to string) {
		must(t, exec.Command("cp", "-a", from, to).Run())
		must(t, os.RemoveAll(from))
		s.save()
		s.after("a move")
	}
	for range 2 {
		move(s.path("a"), away)
		move(away, s.path("a"))
		move(s.path("a/sub"), away)
		move(away, s.path("a/sub"))
	}
}

func TestARenameIsSavedWithoutAMemory(t *testing.T) {
	s := withLower(t)
	s.rename("a/sub", "c")
	s.save()
	must(t, os.Remove(s.Memory))
	s.write("c/g", "changed")
	s.save()
	s.after("a rename without a memory")
}

func TestALoadIntoARenamedDirectoryIsNotSavedBack(t *testing.T) {
	s := withLower(t)
	s.rename("a", "c")
	s.save()
	other := s.world.session()
	other.write("c/sub/g", "theirs")
	other.write("c/sub/theirs", "t")
	other.save()
	s.load("")
	if got, _ := os.ReadFile(s.path("c/sub/g")); string(got) != "theirs" {
		t.Errorf("after a load c/sub/g is %q, want what the other session saved", got)
	}
	if n := s.changes(); n != 0 {
		t.Errorf("after a load there are %d changes, want 0", n)
	}
	s.after("a load into a renamed directory")
}

// Where an upper directory says that a renamed one comes from is not our
// business: it leads us nowhere.
func TestWhereARenamedDirectoryComesFromIsNotRead(t *testing.T) {
	s := withLower(t)
	s.rename("a", "c")
	secret := t.TempDir()
	must(t, os.WriteFile(filepath.Join(secret, "key"), []byte("secret"), 0o600))
	for _, to := range []string{secret, "../../../.." + secret, "", "\x00\xff"} {
		must(t, unix.Setxattr(filepath.Join(s.Upper, "c"), "trusted.overlay.redirect", []byte(to), 0))
		s.save()
		s.after("a redirect that was tampered with")
	}
}
