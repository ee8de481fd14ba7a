package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// layer is a directory with one file, f.
func (l *lab) layer() string {
	l.t.Helper()
	dir := filepath.Join(l.dir, "..", "layer")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/f", []byte("layer"), 0o644)); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

func (l *lab) data() runtime.Mount {
	return runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{l.layer()}}
}

func (l *lab) mount(r *Runtime, id agentbay.SessionID) {
	l.t.Helper()
	if err := r.Mount(context.Background(), id, l.data()); err != nil {
		l.t.Fatalf("Mount: %v", err)
	}
}

// Wherever a server is killed during a Mount, the next can repeat it, and what
// the machine has written meanwhile is not lost.
func TestKilledMountCanBeRepeated(t *testing.T) {
	for until, name := range []string{"recorded", "disk", "built", "shown"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, l *lab) {
				r := l.open() // until it is abandoned
				if err := r.Start(t.Context(), l.spec("a")); err != nil {
					t.Fatalf("Start: %v", err)
				}
				halfMounted(t, r.find("a"), l.data(), until)
				if name == "shown" {
					l.ask(r, "a", "/write?path=/data/m/g&text=meanwhile")
				}
				abandon(r)
				r = l.open()
				t.Cleanup(func() { l.finish(r) })
				other := l.data()
				other.Layers = nil
				if err := r.Mount(t.Context(), "a", other); !errors.Is(err, agentbay.Conflict) {
					t.Errorf("Mount of other layers: %v, want %s", err, agentbay.Conflict)
				}
				l.mount(r, "a")
				if got := l.ask(r, "a", "/read?path=/data/m/f"); got != "layer" {
					t.Errorf("the machine reads %q, want %q", got, "layer")
				}
				if got := l.ask(r, "a", "/read?path=/data/m/g"); name == "shown" && got != "meanwhile" {
					t.Errorf("what the machine wrote reads %q", got)
				}
				if err := r.Mount(t.Context(), "a", l.data()); !errors.Is(err, agentbay.Conflict) {
					t.Errorf("Mount once it is there: %v, want %s", err, agentbay.Conflict)
				}
			})
		})
	}
}

// halfMounted does the first steps of a Mount.
func halfMounted(t *testing.T, m *machine, want runtime.Mount, until int) {
	t.Helper()
	v, err := m.openView()
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	var stacks []*stack
	for i, step := range []func() error{
		func() (err error) { stacks, err = m.begin([]runtime.Mount{want}, v); return err },
		m.keepWritten,
		func() error { return m.build(stacks[0], v) },
		func() error { _, err := m.rt.opt.Profile.show(t.Context(), m, v, stacks); return err },
	} {
		if i > until {
			return
		}
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// What a server that was killed has left of machines that nobody knows is gone
// when the next is open.
func TestOpenClearsMountsOfNobody(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.open() // until it is abandoned
		if err := r.Start(t.Context(), l.spec("a")); err != nil {
			t.Fatalf("Start: %v", err)
		}
		l.mount(r, "a")
		if err := r.Halt(t.Context(), "a"); err != nil {
			t.Fatalf("Halt: %v", err)
		}
		m := r.find("a")
		if err := errors.Join(os.RemoveAll(m.dir), r.cgroups.remove(t.Context(), "a"), m.rec.Place.remove()); err != nil {
			t.Fatal(err)
		}
		abandon(r)
		r = l.open()
		t.Cleanup(func() { l.finish(r) })
		if _, err := os.Lstat(m.contexts()); err == nil {
			t.Errorf("%s is still there", m.contexts())
		}
	})
}

// A machine's processes, and those of the OCI runtime, see no machine's mounts
// but their own.
func TestMountsDoNotSpread(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.start("a")
		l.mount(r, "a")
		if err := r.Start(t.Context(), l.spec("b")); err != nil {
			t.Fatalf("Start: %v", err)
		}
		pids, err := r.cgroups.processes("b")
		if err != nil || len(pids) == 0 {
			t.Fatalf("processes: %v, %v", pids, err)
		}
		for _, pid := range pids {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
			if strings.Contains(string(b), contextsDir+"/a") {
				t.Errorf("process %d of another machine has\n%s", pid, b)
			}
		}
	})
}

// A machine that fills a mount fills its own disk, and is told so.
func TestMountFillerFillsOnlyItsOwn(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		if !r.lends {
			t.Skip("this host has no loop devices")
		}
		l.mount(r, "a")
		if got := l.ask(r, "a", "/fill?path=/data/m/big&mib=200"); !strings.Contains(got, "no space left") {
			t.Errorf("writing 200 MiB to a disk of 64: %q, want no space left", got)
		}
		u, err := r.Usage(t.Context(), "a")
		if err != nil || u.Disk < tight.Disk/2 || u.Disk > u.DiskLimit || u.DiskLimit != 2*tight.Disk {
			t.Errorf("with a full mount of %d, Usage.Disk is %d of %d, %v", tight.Disk, u.Disk, u.DiskLimit, err)
		}
		if on := allocated(r.find("a").path(writtenFile)); on > tight.Disk*3/2 {
			t.Errorf("the mount takes %d bytes of the host", on)
		}
		w, err := r.Written(t.Context(), "a", "m")
		if err != nil {
			t.Fatalf("Written: %v", err)
		}
		if info, err := os.Stat(w.Upper + "/big"); err != nil || info.Size() < tight.Disk/2 {
			t.Errorf("what fitted is %v, %v", info, err)
		}
	})
}

// What is at a target already must fit beside the mount.
func TestTargetThatDoesNotFitIsExhausted(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.open()
		t.Cleanup(func() { l.finish(r) })
		spec := l.spec("a")
		spec.Limits = runtime.Limits{Disk: 64 << 20}
		big := filepath.Join(spec.Layers[0], "box")
		if err := os.Mkdir(big, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, big+"/f", make([]byte, 80<<20))
		if err := r.Start(t.Context(), spec); err != nil {
			t.Fatalf("Start: %v", err)
		}
		mount := runtime.Mount{Name: "m", Target: "/box"}
		if err := r.Mount(t.Context(), "a", mount); !errors.Is(err, agentbay.Exhausted) {
			t.Errorf("Mount on 80 MiB with a disk of 64: %v, want %s", err, agentbay.Exhausted)
		}
		if info := l.ask(r, "a", "/owner?path=/box/f"); !strings.HasPrefix(info, "0:0") {
			t.Errorf("what was there is %s", info)
		}
		if got := l.ask(r, "a", "/remove?path=/box/f"); got != "" {
			t.Errorf("removing it: %s", got)
		}
		if err := r.Mount(t.Context(), "a", mount); err != nil {
			t.Errorf("Mount once there is room: %v", err)
		}
	})
}

// The end of a machine, or of its caller's patience, ends a Mount under way.
func TestMountGivesUp(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.start("a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Mount(ctx, "a", l.data()); err == nil {
			t.Error("Mount with a cancelled context: no error")
		}
		failed := make(chan error)
		go func() { failed <- r.Mount(context.Background(), "b", l.data()) }()
		if err := r.Stop(t.Context(), "b"); err != nil {
			t.Fatalf("Stop: %v", err)
		}
		if err := <-failed; err != nil && !errors.Is(err, agentbay.NotFound) {
			t.Errorf("Mount in a machine that is stopped meanwhile: %v, want %s", err, agentbay.NotFound)
		}
	})
}

// However far a Mount came whose caller lost patience, it can be repeated.
func TestCancelledMountCanBeRepeated(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.start("a")
		for patience := time.Millisecond; ; patience *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := r.Mount(ctx, "a", l.data())
			cancel()
			if err == nil || errors.Is(err, agentbay.Conflict) {
				break
			}
			if ctx.Err() == nil {
				t.Fatalf("Mount: %v", err)
			}
		}
		if got := l.ask(r, "a", "/read?path=/data/m/f"); got != "layer" {
			t.Errorf("the machine reads %q, want %q", got, "layer")
		}
		if got := l.ask(r, "a", "/write?path=/data/m/g"); got != "" {
			t.Errorf("writing: %s", got)
		}
	})
}

// Root of a session cannot put anything where the host looks for mounts.
func TestHubIsTheHosts(t *testing.T) {
	l := newLab(t, RunSC)
	r := l.start("a")
	l.mount(r, "a")
	for _, line := range []string{"/mkdir?path=/.agentbay/mounts/x", "/write?path=/.agentbay/mounts/x", "/link?path=/.agentbay/mounts/x&to=/etc"} {
		if got := l.ask(r, "a", "%s", line); !strings.Contains(got, "read-only") {
			t.Errorf("%s: %q, want a read-only file system", line, got)
		}
	}
	if got := l.ask(r, "a", "/write?path=/data/m/g"); got != "" {
		t.Errorf("writing to the mount: %s", got)
	}
}

// On a host without loop devices mounts work all the same, without a limit.
func TestMountsNeedNoLoops(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.open()
		t.Cleanup(func() { l.finish(r) })
		r.lends = false
		if err := r.Start(t.Context(), l.spec("a")); err != nil {
			t.Fatalf("Start: %v", err)
		}
		l.mount(r, "a")
		if got := l.ask(r, "a", "/fill?path=/data/m/g&mib=3"); got != "" {
			t.Errorf("writing: %s", got)
		}
		if used := r.find("a").mountsUsed(); used < 3<<20 || used > 4<<20 {
			t.Errorf("3 MiB are counted as %d", used)
		}
	})
}

// What overlayfs must be told not to do: a changed mode is a whole file.
func TestUpperIsPlain(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.start("a")
		l.mount(r, "a")
		w, err := r.Written(t.Context(), "a", "m")
		if err != nil {
			t.Fatalf("Written: %v", err)
		}
		if err := os.Chmod(w.Merged+"/f", 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(w.Upper + "/f"); string(b) != "layer" {
			t.Errorf("Upper has %q, %v", b, err)
		}
		var list [256]byte
		if n, err := unix.Llistxattr(w.Upper+"/f", list[:]); err == nil && strings.Contains(string(list[:n]), "metacopy") {
			t.Errorf("Upper has attributes %q", list[:n])
		}
	})
}

// Whatever the command inside says, it becomes an error of bounded length that
// can be shown.
func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{``, `{"code":"invalid","message":"no"}`, `{"code":"denied","message":"no"}`, "{", "\xff\n\n", `{"message":"` + strings.Repeat("x", 10<<10)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		var b bounded
		if n, err := b.Write(said); n != len(said) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		_, err := b.verdict(errors.New("exit status 1"))
		if err == nil || len(err.Error()) > 32<<10 || !utf8.ValidString(err.Error()) {
			t.Errorf("%q becomes %v", said, err)
		}
		if !errors.Is(err, agentbay.Invalid) && !errors.Is(err, agentbay.Exhausted) && errors.As(err, new(*agentbay.Error)) {
			t.Errorf("%q becomes %v", said, err)
		}
	})
}
