//go:build linux

package mountpoint

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// someone is a session's user who is not root.
const someone = 1000

// sessionOf is a bench whose directory root alone can write to, and someone can
// go to.
func sessionOf(t *testing.T) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make files of others")
	}
	b := newBench(t)
	if err := os.Chmod(filepath.Dir(b.from), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// show shows a target to someone, and returns the directory that was attached.
func (b *bench) show(target string) (at os.FileInfo, left int, err error) {
	ps := &Points{UID: someone, GID: someone, List: []Point{{Target: target, Mount: b.point.Mount}}}
	ps.Attach = func(_ Point, target *os.File) (err error) {
		at, err = target.Stat()
		return err
	}
	err = ps.Show(b.t.Context())
	return at, ps.Left[target], err
}

func (b *bench) dir(name string, owner int, mode os.FileMode) string {
	b.t.Helper()
	path := filepath.Join(b.from, name)
	if err := errors.Join(os.MkdirAll(path, 0o755), os.Lchown(path, owner, owner), os.Chmod(path, mode)); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) link(name, to string, owner int) {
	b.t.Helper()
	path := filepath.Join(b.from, name)
	if err := errors.Join(os.Symlink(to, path), os.Lchown(path, owner, owner)); err != nil {
		b.t.Fatal(err)
	}
}

// What the session's user can change leads root nowhere.
func TestLinksOfTheUserAreNotFollowed(t *testing.T) {
	b := sessionOf(t)
	secret := b.dir("secret", 0, 0o700)
	b.write(secret+"/key", "secret")
	b.dir("home", someone, 0o755)
	b.dir("sticky", 0, 0o777|os.ModeSticky)
	b.dir("group", 0, 0o775)
	b.dir("others", 0, 0o757)
	b.link("users", "secret", someone)
	b.link("home/roots", "../secret", 0)
	b.link("sticky/roots", secret, 0)
	b.link("group/roots", secret, 0)
	b.link("others/roots", secret, 0)
	b.link("to-users", "users", 0)
	for _, name := range []string{"users", "users/below", "to-users", "home/roots", "sticky/roots", "sticky/roots/new", "group/roots", "others/roots"} {
		at, _, err := b.show(filepath.Join(b.from, name))
		if !errors.Is(err, agentbay.Invalid) || at != nil {
			t.Errorf("Show at %s: %v, %v; want %s", name, at, err, agentbay.Invalid)
		}
	}
	if names, err := os.ReadDir(b.to); len(names) > 0 || err != nil {
		t.Errorf("the mount has %v, %v", names, err)
	}
	if names, err := os.ReadDir(secret); len(names) != 1 || err != nil {
		t.Errorf("where the links lead there is %v, %v", names, err)
	}
}

func TestLinksOfTheSystemAreFollowed(t *testing.T) {
	b := sessionOf(t)
	real := b.dir("usr/share/real", 0, 0o755)
	b.link("relative", "usr/share/real", 0)
	b.link("absolute", real, 0)
	b.link("usr/up", "../../../../../../../../../../.."+real, 0)
	b.link("usr/share/chain", "./real/../../../relative", 0)
	b.link("dangling", "usr/new", 0)
	want, err := os.Stat(real)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"relative", "absolute", "usr/up", "usr/share/chain"} {
		if at, _, err := b.show(filepath.Join(b.from, name)); err != nil || !os.SameFile(at, want) {
			t.Errorf("Show at %s: %v at %v, want it at %s", name, err, at, real)
		}
	}
	if _, _, err := b.show(b.from + "/dangling/deep"); err != nil {
		t.Errorf("Show below a link to what is missing: %v", err)
	}
	if info, err := os.Stat(b.from + "/usr/new/deep"); err != nil || !info.IsDir() {
		t.Errorf("where it leads there is %v, %v", info, err)
	}
}

// A mount is the user's, and so must be no way to what the user cannot read.
func TestOnlyWhatTheUserMayReadIsCopied(t *testing.T) {
	b := sessionOf(t)
	at := b.dir("etc", 0, 0o755)
	for name, of := range map[string]struct {
		uid, gid int
		mode     os.FileMode
	}{
		"yes-all":      {0, 0, 0o644},
		"yes-group":    {0, someone, 0o640},
		"yes-own":      {someone, someone, 0o000},
		"no-root":      {0, 0, 0o600},
		"no-group":     {0, someone, 0o604},
		"no-other-set": {0, 0, 0o4711},
		"listed/f":     {0, 0, 0o644},
		"locked/f":     {0, 0, 0o644},
		"passage/f":    {0, 0, 0o644},
		"index/f":      {0, 0, 0o644},
	} {
		path := filepath.Join(at, name)
		b.write(path, name)
		if err := errors.Join(os.Chown(path, of.uid, of.gid), unix.Chmod(path, uint32(of.mode))); err != nil {
			t.Fatal(err)
		}
	}
	b.dir("etc/locked", 0, 0o700)
	b.dir("etc/passage", 0, 0o711)
	b.dir("etc/index", 0, 0o744)
	_, left, err := b.show(at)
	if err != nil {
		t.Fatalf("Show: %v", err)
	}
	for _, name := range []string{"yes-all", "yes-group", "yes-own", "listed/f"} {
		b.wantFile(name, name)
	}
	for _, name := range []string{"no-root", "no-group", "no-other-set", "locked", "passage", "index"} {
		if _, err := os.Lstat(filepath.Join(b.to, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
	if left != 6 {
		t.Errorf("%d names were left, want 6", left)
	}
}

func TestNothingIsCopiedFromWhereTheUserCannotGo(t *testing.T) {
	b := sessionOf(t)
	b.write(b.dir("root/open", 0, 0o755)+"/f", "x")
	b.write(b.dir("closed", 0, 0o750)+"/f", "x")
	if err := errors.Join(os.Chmod(b.dir("root", 0, 0o700)+"/open/f", 0o644), os.Chmod(b.from+"/closed/f", 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root/open", "closed"} {
		at, left, err := b.show(filepath.Join(b.from, name))
		if err != nil || at == nil || left != 1 {
			t.Errorf("Show at %s: %v, %v with %d names left", name, at, err, left)
		}
	}
	if names, err := os.ReadDir(b.to); len(names) > 0 || err != nil {
		t.Errorf("the mount has %v, %v", names, err)
	}
}

// However fast a user puts a link in place of a directory, and back, root never
// gets to where it leads.
func TestSwappedDirectoriesLeadNowhere(t *testing.T) {
	b := sessionOf(t)
	secret := b.dir("secret", 0, 0o700)
	b.write(secret+"/sub/key", "secret")
	home := b.dir("home", someone, 0o755)
	b.dir("home/dir/sub", someone, 0o755)
	b.link("home/link", secret, someone)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, home+"/dir", unix.AT_FDCWD, home+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	var secrets []os.FileInfo
	for _, dir := range []string{secret, secret + "/sub"} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, info)
	}
	for range 2000 {
		for _, target := range []string{home + "/dir", home + "/dir/sub", home} {
			at, _, err := b.show(target)
			if err != nil && !errors.Is(err, agentbay.Invalid) {
				t.Fatalf("Show at %s: %v", target, err)
			}
			for _, info := range secrets {
				if at != nil && os.SameFile(at, info) {
					t.Fatalf("Show at %s has attached the secret", target)
				}
			}
		}
	}
	if found, _ := filepath.Glob(b.to + "/*/key"); len(found) > 0 {
		t.Errorf("the mount has %q", found)
	}
}

// A mount that is taken back is found where it was made, not where the user has
// its path lead by then.
func TestHidingDoesNotFollow(t *testing.T) {
	b := sessionOf(t)
	victim, home := b.dir("victim", 0, 0o755), b.dir("home", someone, 0o755)
	b.dir("home/a/m", someone, 0o755)
	b.dir("victim/m", 0, 0o755)
	b.write(b.from+"/file", "x")
	var mounts []string
	if err := apart(func() error {
		if err := unix.Mount(b.to, victim+"/m", "", unix.MS_BIND, ""); err != nil {
			return err
		}
		ps := &Points{UID: someone, GID: someone, List: []Point{
			{Target: home + "/a/m", Mount: b.point.Mount}, {Target: b.from + "/file", Mount: b.point.Mount},
		}}
		ps.Attach = func(_ Point, target *os.File) error {
			if err := unix.Mount(b.to, home+"/a/m", "", unix.MS_BIND, ""); err != nil {
				return err
			}
			return errors.Join(os.Rename(home+"/a", home+"/b"), os.Symlink(victim, home+"/a"))
		}
		if err := ps.Show(t.Context()); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("Show: %v, want %s", err, agentbay.Invalid)
		}
		for _, path := range []string{victim + "/m", home + "/b/m"} {
			if unix.Unmount(path, unix.MNT_DETACH) == nil {
				mounts = append(mounts, path)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(mounts) != 1 || mounts[0] != victim+"/m" {
		t.Errorf("left are %q, want only the victim's", mounts)
	}
}

// apart runs f on a thread that has mounts and a working directory of its own,
// and ends with f.
func apart(f func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			failed <- err
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	return <-failed
}
