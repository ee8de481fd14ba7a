//go:build linux

package mountpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

func TestTargetsAreJudgedByName(t *testing.T) {
	for target, ok := range map[string]bool{
		"/data": true, "/home/user/work": true, "/processes": true, "/devices/x": true, "/data/../tmp": true,
		"": false, "data": false, "/": false, "/data/..": false, "/proc": false, "/proc/../sys/x": false, "//dev/shm": false,
		Reserved: false, Hub + "/x": false, "/a\x00b": false,
	} {
		if err := Check(target); (err == nil) != ok || err != nil && !errors.Is(err, agentbay.Invalid) {
			t.Errorf("Check(%q): %v, want it right: %t", target, err, ok)
		}
	}
}

// A bench is a target with something in it, and a mount that is to hide it.
type bench struct {
	t        *testing.T
	from, to string
	point    Point
	attached []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, from: t.TempDir(), to: t.TempDir()}
	b.point = Point{Target: b.from, Mount: b.root(b.to)}
	return b
}

func (b *bench) root(dir string) *os.Root {
	b.t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { root.Close() })
	return root
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) fill() {
	b.t.Helper()
	if err := b.points().Show(b.t.Context()); err != nil {
		b.t.Fatalf("Show: %v", err)
	}
}

func (b *bench) wantFile(name, want string) {
	b.t.Helper()
	if got, err := os.ReadFile(filepath.Join(b.to, name)); err != nil || string(got) != want {
		b.t.Errorf("%s has %q, %v; want %q", name, got, err, want)
	}
}

func TestWhatTheMountHasIsKept(t *testing.T) {
	b := newBench(t)
	b.write(b.from+"/same", "target")
	b.write(b.from+"/dir/theirs", "target")
	b.write(b.from+"/file/below", "target")
	b.write(b.to+"/same", "mount")
	b.write(b.to+"/dir/ours", "mount")
	b.write(b.to+"/file", "mount")
	b.fill()
	b.wantFile("same", "mount")
	b.wantFile("dir/ours", "mount")
	b.wantFile("dir/theirs", "target")
	b.wantFile("file", "mount")
}

func TestModesAndTimesAreCopied(t *testing.T) {
	b := newBench(t)
	b.write(b.from+"/dir/f", "x")
	then := time.Unix(1_000_000_000, 123)
	for _, path := range []string{"/dir/f", "/dir"} {
		if err := errors.Join(os.Chmod(b.from+path, 0o751|os.ModeSetgid), os.Chtimes(b.from+path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(b.from, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	b.fill()
	for _, path := range []string{"/dir/f", "/dir"} {
		info, err := os.Stat(b.to + path)
		if err != nil || info.Mode()&^os.ModeDir != 0o751|os.ModeSetgid || !info.ModTime().Equal(then) {
			t.Errorf("%s is %v of %v, %v", path, info.Mode(), info.ModTime(), err)
		}
	}
	if info, err := os.Stat(b.to); err != nil || info.Mode() != 0o777|os.ModeSticky|os.ModeDir {
		t.Errorf("the mount's root is %v, %v", info.Mode(), err)
	}
}

// Whatever lies at a target, copying it neither waits nor leaves it.
func TestHostileTargetIsCopiedWithoutFollowing(t *testing.T) {
	b := newBench(t)
	secret := t.TempDir()
	b.write(secret+"/key", "secret")
	b.write(b.to+"/dir-of-mount/f", "x")
	if err := errors.Join(
		unix.Mkfifo(b.from+"/fifo", 0o666),
		unix.Mknod(b.from+"/socket", unix.S_IFSOCK|0o666, 0),
		os.Symlink(secret, b.from+"/out"),
		os.Symlink(secret+"/key", b.from+"/key"),
		os.Symlink(secret, b.from+"/"+part),
		os.Symlink(secret, b.from+"/dir-of-mount"),
		os.Symlink("x", b.from+"/loop"),
		os.WriteFile(b.from+"/\xff\n", nil, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	b.fill()
	for name, want := range map[string]string{"out": secret, "key": secret + "/key", "loop": "x"} {
		if got, err := os.Readlink(filepath.Join(b.to, name)); err != nil || got != want {
			t.Errorf("%s is a link to %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"fifo", "socket"} {
		if _, err := os.Lstat(filepath.Join(b.to, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
	b.wantFile("\xff\n", "")
	b.wantFile("dir-of-mount/f", "x")
}

func TestEndlessNestingIsRefused(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(b.from+strings.Repeat("/d", maxDepth+1), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.points().Show(t.Context()); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Show: %v, want %s", err, agentbay.Invalid)
	}
}

// What a copy that was killed has left is not taken for a file.
func TestPartOfAFileIsNoFile(t *testing.T) {
	b := newBench(t)
	b.write(b.from+"/f", "whole")
	b.write(b.to+"/"+part, "who")
	b.fill()
	b.wantFile("f", "whole")
	if _, err := os.Lstat(filepath.Join(b.to, part)); err == nil {
		t.Error("the part is still there")
	}
}

// points makes b's point one of several, which are attached in b's books only.
func (b *bench) points(more ...Point) *Points {
	return &Points{Root: os.Getuid(), UID: os.Getuid(), GID: os.Getgid(), List: append([]Point{b.point}, more...), Attach: func(p Point, target *os.File) error {
		b.attached = append(b.attached, p.Target)
		return nil
	}}
}

func TestMissingDirectoriesAreMade(t *testing.T) {
	b := newBench(t)
	target := b.from + "/a/b/c"
	ps := b.points(Point{Target: target, Mount: b.root(t.TempDir())})
	if err := ps.Show(t.Context()); err != nil {
		t.Fatalf("Show: %v", err)
	}
	if info, err := os.Stat(target); err != nil || !info.IsDir() {
		t.Errorf("%s is %v, %v", target, info, err)
	}
	if len(b.attached) != 2 {
		t.Errorf("attached were %q", b.attached)
	}
}

func TestBadTargetsAreRefused(t *testing.T) {
	b := newBench(t)
	b.write(b.from+"/file", "x")
	for name, to := range map[string]string{"root": "/", "proc": "/proc", "loop": "loop", "up": "../../../../../../.."} {
		if err := os.Symlink(to, filepath.Join(b.from, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file", "file/below", "root", "proc", "proc/self", "loop", "up", strings.Repeat("x", 300)} {
		ps := &Points{Root: os.Getuid(), List: []Point{{Target: filepath.Join(b.from, name), Mount: b.point.Mount}}, Attach: b.points().Attach}
		if err := ps.Show(t.Context()); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("Show at %s: %v, want %s", name, err, agentbay.Invalid)
		}
	}
	if len(b.attached) > 0 {
		t.Errorf("attached were %q", b.attached)
	}
}

func TestWhatIsShownIsNotShownAgain(t *testing.T) {
	b := newBench(t)
	b.point.Target = b.to // as if it were mounted there
	if err := b.points().Show(t.Context()); err != nil {
		t.Fatalf("Show: %v", err)
	}
	if len(b.attached) > 0 {
		t.Errorf("attached were %q", b.attached)
	}
}

func TestCommandSaysWhatIsWrong(t *testing.T) {
	for _, args := range [][]string{{}, {"1"}, {"a", "1"}, {"1", "a"}, {"1", "1", "name"}, {"1", "1", "no-such-mount", "/data"}} {
		var out strings.Builder
		if status := Main(args, &out); status == 0 || !strings.Contains(out.String(), `"message"`) {
			t.Errorf("%q: status %d, %s", args, status, out.String())
		}
	}
}
