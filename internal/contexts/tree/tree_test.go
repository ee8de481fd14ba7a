package tree_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/mem"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/contextstest"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"golang.org/x/sys/unix"
)

// A world is a context, its repository and a host's cache of it.
type world struct {
	t     testing.TB
	repo  *contexts.Repo
	cache *tree.Cache
	head  contexts.Root
	view  tree.View
	mount agentbay.ContextMount
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("overlays and whiteouts are made as root only")
	}
}

func newWorld(t testing.TB) *world { return worldOn(t, new(mem.Store)) }

func worldOn(t testing.TB, blobs blob.Store) *world {
	t.Helper()
	needRoot(t)
	w := &world{t: t, repo: contexts.New("key-1", blobs, contextstest.NewIndex())}
	w.cache = openCache(t, t.TempDir(), 0)
	w.use(agentbay.ContextMount{Path: "/tmp/data", Policy: agentbay.DefaultSyncPolicy})
	return w
}

func openCache(t testing.TB, dir string, limit int64) *tree.Cache {
	t.Helper()
	c, err := tree.OpenCache(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// use makes what sessions mount from now on.
func (w *world) use(m agentbay.ContextMount) {
	w.t.Helper()
	s, err := tree.Select(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mount = m
	w.view = tree.View{Tenant: "key-1", Selection: s, Extract: m.Policy.Extract, UID: 1000, GID: 1001}
}

// checkout is Cache.Checkout of the head.
func (w *world) checkout(c *tree.Cache) *tree.Checkout {
	w.t.Helper()
	out, err := c.Checkout(w.t.Context(), w.repo, w.head, w.view, new(tree.Progress))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(out.Release)
	return out
}

// A session is an overlay over a checkout.
type session struct {
	*world
	tree.Tree
	layers []string
}

// session starts a session that mounts the head.
func (w *world) session() *session {
	w.t.Helper()
	return w.over(w.checkout(w.cache))
}

func (w *world) over(out *tree.Checkout) *session {
	w.t.Helper()
	dir := w.t.TempDir()
	s := &session{world: w, layers: out.Layers, Tree: tree.Tree{
		Upper: filepath.Join(dir, "upper"), Merged: filepath.Join(dir, "merged"), Selection: w.view.Selection, Extract: w.view.Extract,
		UID: w.view.UID, GID: w.view.GID, Root: w.head, Memory: filepath.Join(dir, "memory"),
		Archive: w.mount.Policy.Archive, KeepDeleted: w.mount.Policy.KeepDeleted,
	}}
	for _, d := range []string{s.Upper, s.Merged, filepath.Join(dir, "work"), filepath.Join(dir, "none")} {
		must(w.t, os.Mkdir(d, 0o755))
	}
	lower := strings.Join(append(s.layers, filepath.Join(dir, "none")), ":")
	options := fmt.Sprintf("redirect_dir=on,metacopy=off,index=off,lowerdir=%s,upperdir=%s,workdir=%s", lower, s.Upper, filepath.Join(dir, "work"))
	must(w.t, unix.Mount("overlay", s.Merged, "overlay", 0, options))
	w.t.Cleanup(func() { unix.Unmount(s.Merged, unix.MNT_DETACH) })
	return s
}

// save saves a session and commits that.
func (s *session) save() *tree.Progress {
	s.t.Helper()
	p := new(tree.Progress)
	if _, err := s.trySave(s.t.Context(), p); err != nil {
		s.t.Fatalf("save: %v", err)
	}
	return p
}

// trySave returns how many changes there were.
func (s *session) trySave(ctx context.Context, p *tree.Progress) (int, error) {
	w, err := s.repo.Writer(ctx)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	changes, err := tree.Save(ctx, w, s.repo, s.Tree, p)
	if err != nil {
		return 0, err
	}
	defer changes.Close()
	if changes.Len() > 0 {
		root, _, err := s.repo.Apply(ctx, w, s.head, changes.All())
		if err != nil {
			return 0, err
		}
		s.head = root
	}
	return changes.Len(), changes.Settled()
}

// load loads the head into a session.
func (s *session) load(rel string) {
	s.t.Helper()
	if err := tree.Load(s.t.Context(), s.repo, s.head, s.Tree, rel, new(tree.Progress)); err != nil {
		s.t.Fatalf("load: %v", err)
	}
}

func (s *session) path(rel string) string { return filepath.Join(s.Merged, rel) }

func (s *session) write(rel, text string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(filepath.Dir(s.path(rel)), 0o755))
	must(s.t, os.WriteFile(s.path(rel), []byte(text), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seen describes all that is in a directory, one line a path.
func seen(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%v %v", info.Mode(), info.ModTime().UnixNano())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(b)
			line += fmt.Sprintf(" %d %s", len(b), hex.EncodeToString(sum[:4]))
		}
		all[rel] = line
		return nil
	})
	must(t, err)
	return all
}

// equal compares what is seen in two directories.
func equal(t testing.TB, what, got, want string) {
	t.Helper()
	diff(t, what, seen(t, got), seen(t, want))
}

func diff(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for path, line := range want {
		if got[path] != line {
			t.Errorf("%s: %s is %q, want %q", what, path, got[path], line)
		}
	}
	for path, line := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: %s is there (%s) and should not be", what, path, line)
		}
	}
}

// after checks that what a session saw is what the next one sees: by what this
// host has, and checked out from nothing.
func (s *session) after(what string) {
	s.t.Helper()
	equal(s.t, what+", with a warm cache", s.world.session().Merged, s.Merged)
	cold := openCache(s.t, s.t.TempDir(), 0)
	equal(s.t, what+", with a cold cache", s.over(s.checkout(cold)).Merged, s.Merged)
}

func TestWhatASessionWroteIsSeenByTheNext(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	s.write("a", "first")
	s.write("dir/b", "second")
	s.write("dir/deep/c", strings.Repeat("third", 1000))
	must(t, os.Symlink("../outside", s.path("dir/link")))
	must(t, os.Mkdir(s.path("empty"), 0o700))
	must(t, os.Chmod(s.path("a"), 0o4751))
	must(t, os.WriteFile(s.path("odd \n\xff name"), nil, 0o600))
	sparse, err := os.Create(s.path("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 64<<20)
	must(t, err)
	must(t, sparse.Close())
	must(t, os.Chtimes(s.path("dir"), time.Time{}, time.Unix(1, 5)))
	s.save()
	next := w.session()
	equal(t, "the next session", next.Merged, s.Merged)
	var st unix.Stat_t
	must(t, unix.Lstat(next.path("sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("a sparse file takes %d bytes of the disk after it was saved", st.Blocks*512)
	}
	if st.Uid != 1000 || st.Gid != 1001 {
		t.Errorf("files belong to %d:%d, want 1000:1001", st.Uid, st.Gid)
	}
	next.after("an unchanged session")
}

// A play is a random sequence of what sessions do.
type play struct {
	*rand.Rand
	s *session
}

func (p *play) name() string {
	parts := make([]string, 1+p.IntN(3))
	for i := range parts {
		parts[i] = []string{"a", "b", "c-1", "c", "d.x"}[p.IntN(5)]
	}
	return strings.Join(parts, "/")
}

func (p *play) content() []byte {
	b := make([]byte, p.IntN(3000))
	for i := range b {
		b[i] = byte(p.IntN(4))
	}
	return b
}

// act does one thing. What is not possible is nothing.
func (p *play) act() {
	at, to := p.s.path(p.name()), p.s.path(p.name())
	switch p.IntN(16) {
	case 0, 1, 2, 3:
		os.MkdirAll(filepath.Dir(at), 0o755)
		os.WriteFile(at, p.content(), 0o644)
	case 4:
		if f, err := os.OpenFile(at, os.O_APPEND|os.O_WRONLY, 0); err == nil {
			f.Write(p.content())
			f.Close()
		}
	case 5:
		os.Truncate(at, int64(p.IntN(5000)))
	case 6, 7:
		os.RemoveAll(at)
	case 8, 9:
		os.Rename(at, to)
	case 10:
		os.MkdirAll(at, 0o755)
	case 11: // a directory is replaced by an empty one
		if info, err := os.Lstat(at); err == nil && info.IsDir() {
			os.RemoveAll(at)
			os.Mkdir(at, 0o750)
		}
	case 12:
		os.Symlink(p.name(), at)
	case 13:
		if info, err := os.Lstat(at); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			os.Chmod(at, []fs.FileMode{0o600, 0o644, 0o755, 0o700}[p.IntN(4)])
		}
	case 14:
		unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	case 15:
		if f, err := os.OpenFile(at, os.O_RDWR, 0); err == nil { // copied up, and not changed
			f.Close()
		}
	}
}

// Whatever sessions do, one after the other: after each save the next session
// sees the same.
func TestEverySaveIsSeenExactly(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			p := &play{Rand: rand.New(rand.NewPCG(seed, 1))}
			for round := range 5 {
				p.s = w.session()
				for save := range 3 {
					for range 25 {
						p.act()
					}
					p.s.save()
					p.s.after(fmt.Sprintf("seed %d, session %d, save %d", seed, round, save))
					if t.Failed() {
						return
					}
				}
			}
		})
	}
}

// saves saves a session and reports how much that changed.
func (s *session) changes() int {
	s.t.Helper()
	n, err := s.trySave(s.t.Context(), new(tree.Progress))
	must(s.t, err)
	return n
}

func TestAnUnchangedSaveChangesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	if n := s.changes(); n != 0 {
		t.Errorf("an untouched mount has %d changes, want 0", n)
	}
	s.write("dir/a", "a")
	s.write("dir/b", "b")
	must(t, os.Symlink("a", s.path("dir/l")))
	s.save()
	s = w.session()
	must(t, os.Remove(s.path("dir/b")))
	must(t, os.Remove(s.path("dir/l")))
	s.write("dir/c", "c")
	if n := s.changes(); n != 4 {
		t.Errorf("a file added, a file and a link removed, and their directory are %d changes, want 4", n)
	}
	for range 2 {
		if n := s.changes(); n != 0 {
			t.Errorf("after a save there are %d changes, want 0", n)
		}
	}
	must(t, os.Chmod(s.path("dir/a"), 0o600))
	must(t, os.Chmod(s.path("dir/a"), 0o644))
	f, err := os.OpenFile(w.session().path("dir/a"), os.O_RDWR, 0)
	must(t, err)
	must(t, f.Close())
	if n := s.changes(); n != 0 {
		t.Errorf("files that were touched and are the same are %d changes, want 0", n)
	}
}

// What another session saved meanwhile is not undone by one that did not touch
// it since its own last save.
func TestTheLastFinishedSaveOfEachFileWins(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"both": "0", "gone": "0", "mine": "0"})
	a, b := w.session(), w.session()
	a.write("both", "a")
	must(t, os.Remove(a.path("gone")))
	a.save()
	b.write("both", "b")
	b.write("gone", "back")
	b.write("other", "b")
	b.save()
	a.write("mine", "a")
	a.save()
	want := map[string]string{"both": "b", "gone": "back", "mine": "a", "other": "b"}
	next := w.session()
	for name, text := range want {
		if got, _ := os.ReadFile(next.path(name)); string(got) != text {
			t.Errorf("%s is %q, want %q", name, got, text)
		}
	}
}

func (s *session) write2(t testing.TB, files map[string]string) {
	t.Helper()
	for name, text := range files {
		s.write(name, text)
	}
	s.save()
}

func TestLoadShowsWhatOthersSaved(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"dir/same": "0", "dir/new": "0", "dir/gone": "0", "swap/x": "0", "kept": "0"})
	a, b := w.session(), w.session()
	b.write("dir/new", "longer than before")
	b.write("far/below/it", "b")
	must(t, os.RemoveAll(b.path("swap")))
	b.write("swap", "a file now")
	must(t, os.Symlink("new", b.path("dir/link")))
	must(t, os.Chmod(b.path("dir/same"), 0o600))
	b.save()
	a.write("local", "a")
	a.write("dir/local", "a")
	a.load("")
	for name, text := range map[string]string{"dir/same": "0", "dir/new": "longer than before", "far/below/it": "b", "swap": "a file now", "dir/link": "longer than before", "local": "a", "dir/local": "a"} {
		if got, err := os.ReadFile(a.path(name)); string(got) != text {
			t.Errorf("%s is %q (%v), want %q", name, got, err, text)
		}
	}
	before := w.head
	a.save()
	var changed []string
	for c, err := range w.repo.Diff(t.Context(), before, w.head, "") {
		must(t, err)
		changed = append(changed, c.Path)
	}
	if got := strings.Join(changed, " "); got != "tmp/data/dir/local tmp/data/local" {
		t.Errorf("after a load, a save changes %q, want only what is local", got)
	}
	must(t, os.Remove(a.path("far/below/it")))
	a.save()
	if _, err := w.repo.Lookup(t.Context(), w.head, "tmp/data/far/below/it"); err == nil {
		t.Error("a file that was loaded and then removed is still in the context")
	}
}

func TestLoadOfOnePathLeavesTheRest(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"a/1": "0", "a/2": "0", "b/1": "0"})
	s := w.session()
	w.session().write2(t, map[string]string{"a/1": "new", "a/2": "new", "b/1": "new"})
	s.load("a/1")
	s.load("b")
	for name, text := range map[string]string{"a/1": "new", "a/2": "0", "b/1": "new"} {
		if got, _ := os.ReadFile(s.path(name)); string(got) != text {
			t.Errorf("%s is %q, want %q", name, got, text)
		}
	}
	if err := tree.Load(t.Context(), w.repo, w.head, s.Tree, "none", nil); agentbay.CodeOf(err) != agentbay.NotFound {
		t.Errorf("load of what is not there: %v, want NotFound", err)
	}
}

func TestArchiveIsOneFileAndTheSameTree(t *testing.T) {
	w := newWorld(t)
	policy := agentbay.DefaultSyncPolicy
	policy.Archive = true
	w.use(agentbay.ContextMount{Path: "/tmp/data", Policy: policy})
	s := w.session()
	s.write("a", "a")
	s.write("dir/deep/b", strings.Repeat("b", 3<<20))
	s.write("dir/odd \n\xff name", "c")
	must(t, os.Symlink("/etc/passwd", s.path("dir/l")))
	must(t, os.Mkdir(s.path("empty"), 0o710))
	must(t, os.Chmod(s.path("a"), 0o4711))
	s.save()
	var paths []string
	for e, err := range w.repo.Entries(t.Context(), w.head, "") {
		must(t, err)
		paths = append(paths, e.Path)
	}
	if fmt.Sprint(paths) != "[tmp/data/data.tar.gz]" {
		t.Errorf("an archive's context has %q, want one file", paths)
	}
	next := w.session()
	equal(t, "the next session", next.Merged, s.Merged)
	if n := next.changes(); n != 0 {
		t.Errorf("an untouched archive has %d changes, want 0", n)
	}
	must(t, os.RemoveAll(next.path("dir/deep")))
	next.write("new", "n")
	next.save()
	next.after("a changed archive")
	if n := next.changes(); n != 0 {
		t.Errorf("a saved archive has %d changes, want 0", n)
	}
	s.load("")
	if got, _ := os.ReadFile(s.path("new")); string(got) != "n" {
		t.Errorf("after a load, new is %q, want what the other session saved", got)
	}
	if n := s.changes(); n != 0 {
		t.Errorf("after a load of an archive there are %d changes, want 0", n)
	}
}

func TestOnlyWhatIsSelectedIsMoved(t *testing.T) {
	w := newWorld(t)
	all := w.mount
	w.session().write2(t, map[string]string{"in/a": "0", "in/not/a": "0", "in/not/b": "0", "out": "0", "deep/er/x": "0", "deep/y": "0"})
	policy := agentbay.DefaultSyncPolicy
	policy.WhiteList = []agentbay.WhiteList{{Path: "/in/", Exclude: []string{"not"}}, {Path: "deep/er"}}
	w.use(agentbay.ContextMount{Path: "/tmp/data/", Policy: policy})
	s := w.session()
	if got := fmt.Sprint(len(seen(t, s.Merged))); got != "5" {
		t.Errorf("a session sees %v, want in, in/a, deep, deep/er, deep/er/x", seen(t, s.Merged))
	}
	must(t, os.RemoveAll(s.path("in")))
	must(t, os.RemoveAll(s.path("deep")))
	s.write("in/not/c", "x")
	s.write("in/b", "x")
	s.write("out", "x")
	s.write("deep/er/z", "x")
	s.write("deep/q", "x")
	s.save()
	s.after2(map[string]string{"in/b": "x", "deep/er/z": "x"})
	w.use(all)
	w.session().after2(map[string]string{"in/b": "x", "in/not/a": "0", "in/not/b": "0", "out": "0", "deep/er/z": "x", "deep/y": "0"})
}

// after2 checks the files that the next session sees.
func (s *session) after2(want map[string]string) {
	s.t.Helper()
	for _, next := range []*session{s.world.session(), s.over(s.checkout(openCache(s.t, s.t.TempDir(), 0)))} {
		got := map[string]string{}
		must(s.t, filepath.WalkDir(next.Merged, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				b, _ := os.ReadFile(path)
				rel, _ := filepath.Rel(next.Merged, path)
				got[rel] = string(b)
			}
			return err
		}))
		diff(s.t, "the next session", got, want)
	}
}

func TestWhatIsDeletedStaysIfAskedFor(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"dir/a": "0", "dir/b": "0", "c": "0"})
	w.mount.Policy.KeepDeleted = true
	s := w.session()
	must(t, os.RemoveAll(s.path("dir")))
	must(t, os.Remove(s.path("c")))
	s.write("dir/b", "1")
	s.save()
	must(t, os.Remove(s.path("dir/b")))
	s.save()
	s.after2(map[string]string{"dir/a": "0", "dir/b": "1", "c": "0"})
}

// Two sessions at once, whatever they do: after a load, a session sees all that
// is in the context, and has nothing to save.
func TestALoadAfterASaveLeavesNothingToMove(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			p := &play{Rand: rand.New(rand.NewPCG(seed, 2)), s: w.session()}
			for range 30 {
				p.act()
			}
			p.s.save()
			two := []*session{w.session(), w.session()}
			for round := range 12 {
				p.s = two[p.IntN(2)]
				for range 10 {
					p.act()
				}
				p.s.save()
				p.s.load("")
				all, here := seen(t, w.over(p.s.checkout(w.cache)).Merged), seen(t, p.s.Merged)
				want, got := map[string]string{}, map[string]string{}
				for e, err := range w.repo.Entries(t.Context(), w.head, "") {
					must(t, err)
					rel, _ := w.view.Selection.Rel(e.Path)
					want[rel], got[rel] = all[rel], here[rel]
				}
				diff(t, fmt.Sprintf("seed %d, round %d", seed, round), got, want)
				before := w.head
				if n := p.s.changes(); n != 0 {
					t.Errorf("seed %d, round %d: after a save and a load there are %d changes, want 0", seed, round, n)
					for c, err := range w.repo.Diff(t.Context(), before, w.head, "") {
						t.Errorf("%v %s %v", err, c.Path, c.Entry)
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

func TestWhatIsNoFileIsLeftOut(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	must(t, unix.Mkfifo(s.path("pipe"), 0o644))
	must(t, unix.Mknod(s.path("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(socket)
	fd, err := unix.Open(s.Merged, unix.O_PATH, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(socket, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/socket", fd)}))
	if p := s.save(); len(p.Warnings()) != 3 {
		t.Errorf("with nothing else there, the warnings are %q, want one for each", p.Warnings())
	}
	s.write("file", "x")
	p := s.save()
	s.after2(map[string]string{"file": "x"})
	if n := len(p.Warnings()); n != 3 {
		t.Errorf("the warnings are %q, want one for each", p.Warnings())
	}
	if n := p.Files.Load(); n != 1 {
		t.Errorf("%d files are counted, want 1", n)
	}
}

// A tree deeper than any path is saved as far as paths go.
func TestATreeDeeperThanAnyPathIsSavedAsFarAsPathsGo(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	dir, err := unix.Open(s.Merged, unix.O_DIRECTORY, 0)
	must(t, err)
	for range 30 {
		name := strings.Repeat("d", 200)
		must(t, unix.Mkdirat(dir, name, 0o755))
		next, err := unix.Openat(dir, name, unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(dir))
		dir = next
	}
	must(t, unix.Close(dir))
	s.write("file", "x")
	if p := s.save(); len(p.Warnings()) != 1 {
		t.Errorf("the warnings are %q, want one", p.Warnings())
	}
	s.after2(map[string]string{"file": "x"})
}

func TestAFileThatIsAlwaysWrittenToIsNotSavedTorn(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	s.write("log", strings.Repeat("x", 16<<20))
	f, err := os.OpenFile(s.path("log"), os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	stop, written := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for i := byte(0); err == nil; i++ {
			select {
			case <-stop:
				written <- nil
				return
			default:
				_, err = f.WriteAt([]byte{i}, int64(i))
			}
		}
		written <- err
	}()
	// The writer has pauses, as long as the kernel takes to write pages back.
	for start := time.Now(); err == nil && time.Since(start) < time.Minute; {
		_, err = s.trySave(t.Context(), new(tree.Progress))
	}
	close(stop)
	must(t, <-written)
	if agentbay.CodeOf(err) != agentbay.Conflict || !strings.Contains(agentbay.MessageOf(err), "log") {
		t.Errorf("save of a file that is always written to: %v, want Conflict with its name", err)
	}
	s.save()
	s.after("a file that was closed")
}

// A session that moves its directories about, and puts links to the host in
// their place, gets nothing of the host.
func TestLinksAreNeverFollowed(t *testing.T) {
	secret := t.TempDir()
	must(t, os.WriteFile(filepath.Join(secret, "f"), []byte("secret"), 0o600))
	w := newWorld(t)
	w.session().write2(t, map[string]string{"dir/f": "0"})
	s := w.session()
	w.session().write2(t, map[string]string{"dir/f": "1", "dir/g": "1"})
	must(t, os.RemoveAll(s.path("dir")))
	must(t, os.Symlink(secret, s.path("dir")))
	s.load("")
	if got := s.files(); got != "dir/f=1 dir/g=1" {
		t.Errorf("after a load there is %q, want what was saved, in place of the link", got)
	}
	must(t, os.RemoveAll(s.path("dir")))
	must(t, os.Symlink(secret, s.path("dir")))
	s.save()
	e, err := w.repo.Lookup(t.Context(), w.head, "tmp/data/dir")
	must(t, err)
	if e.Kind != contexts.Symlink || e.Target != secret {
		t.Errorf("a link was saved as %+v", e)
	}
	if left, _ := os.ReadDir(secret); len(left) != 1 {
		t.Errorf("a load wrote %v through a link", left)
	}
}
