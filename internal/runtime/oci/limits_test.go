package oci

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/runtimetest"
)

// tight are limits that a test can reach.
var tight = runtime.Limits{CPU: 0.5, Memory: 256 << 20, Pids: 128, Disk: 64 << 20}

// startTight boots a machine with tight limits, and a neighbour with others.
func startTight(l *lab) *Runtime {
	l.t.Helper()
	r := l.start("neighbour")
	spec := l.spec("a")
	spec.Limits = tight
	if err := r.Start(context.Background(), spec); err != nil {
		l.t.Fatalf("Start: %v", err)
	}
	return r
}

// reasonWithin waits for the machine's end, and returns the reason; empty if
// it lives on.
func (l *lab) reasonWithin(r *Runtime, d time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	exit, err := r.Wait(ctx, "a")
	if err != nil {
		return ""
	}
	return exit.Reason
}

// eitherWay checks that a machine that went too far still answers or ended for
// a reason that says so, and that its neighbour has noticed nothing.
func (l *lab) eitherWay(r *Runtime, want string) {
	l.t.Helper()
	l.ask(r, "neighbour", "/info")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := runtimetest.Ask(ctx, r, "a", "/info"); err == nil {
		l.t.Log("the machine still answers")
		return
	}
	if got := l.reasonWithin(r, 30*time.Second); !strings.Contains(got, want) {
		l.t.Errorf("the machine ended: %q, want %q in it", got, want)
	}
}

func TestMemoryHogEndsAsOutOfMemory(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := runtimetest.Ask(ctx, r, "a", "/eat?mib=1024"); err == nil {
			t.Error("a machine of 256 MiB could have 1 GiB")
		}
		if got, want := l.reasonWithin(r, 30*time.Second), "out of memory (limit 0.2 GiB)"; got != want {
			t.Errorf("reason is %q, want %q", got, want)
		}
		l.ask(r, "neighbour", "/info")
	})
}

func TestForkBombIsContained(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := runtimetest.Ask(ctx, r, "a", "/fork?most=2000")
		if err == nil && len(n) > 3 {
			t.Errorf("a machine of %d processes could start %s", tight.Pids, n)
		}
		t.Logf("started %s processes: %v", n, err)
		l.eitherWay(r, "out of processes")
	})
}

func TestDiskFillerFillsOnlyItsOwn(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		if l.profile.kernel && !r.loops {
			t.Skip("this host has no loop devices")
		}
		if got := l.ask(r, "a", "/fill?path=/tmp/big&mib=200"); !strings.Contains(got, "no space left") {
			t.Errorf("writing 200 MiB to a disk of 64: %q, want no space left", got)
		}
		u, err := r.Usage(t.Context(), "a")
		if err != nil || u.Disk < tight.Disk/2 || u.Disk > tight.Disk*3/2 {
			t.Errorf("Usage.Disk of a full disk of %d is %d, %v", tight.Disk, u.Disk, err)
		}
		l.ask(r, "a", "/info")
		if got := l.ask(r, "neighbour", "/fill?path=/tmp/big&mib=100"); got != "" {
			t.Errorf("the neighbour cannot write: %s", got)
		}
	})
}

func TestOutputFloodIsDrained(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		l.ask(r, "a", "/say?mib=1")
		l.ask(r, "a", "/info")
		if n := len(r.find("a").console.String()); n > tailSize*2 {
			t.Errorf("%d bytes of output are kept, want at most %d", n, tailSize)
		}
	})
}

func TestCPUHogStaysWithinItsShare(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := startTight(l)
		l.ask(r, "a", "/spin?threads=4")
		before, err := r.Usage(t.Context(), "a")
		began := time.Now()
		for time.Since(began) < 2*time.Second {
			l.ask(r, "neighbour", "/info") // is served meanwhile
		}
		after, err2 := r.Usage(t.Context(), "a")
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		share := float64(after.CPU-before.CPU) / float64(time.Since(began))
		if share > 2*tight.CPU {
			t.Errorf("a machine of %.1f cores uses %.2f", tight.CPU, share)
		}
		l.ask(r, "a", "/info")
	})
}

// Tools get exactly the user, directory and environment of the spec.
func TestGuestRunsAsSpecSays(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.open()
		t.Cleanup(func() { l.finish(r) })
		spec := l.spec("a")
		spec.User, spec.Dir = runtime.User{Name: "user", UID: 1000, GID: 1000, Home: "/home/user"}, "/home/user/work"
		if err := r.Start(t.Context(), spec); err != nil {
			t.Fatalf("Start: %v", err)
		}
		answer := l.ask(r, "a", "/info")
		for _, want := range []string{`"UID":1000`, `"GID":1000`, `"Dir":"/home/user/work"`, `"COLOUR=blue"`, `"Secret":"secret"`, `"CapEff":"0000000000000000"`} {
			if !strings.Contains(answer, want) {
				t.Errorf("the guest says %s, want %s in it", answer, want)
			}
		}
		if got := l.ask(r, "a", "/fill?path=/home/user/work/file&mib=1"); got != "" {
			t.Errorf("writing to the working directory: %s", got)
		}
		if got := l.ask(r, "a", "/fill?path=/etc/passwd&mib=1"); !strings.Contains(got, "permission denied") {
			t.Errorf("writing to /etc as a user: %q, want permission denied", got)
		}
	})
}

// The image is never written to, nor is the guest's secret left on the disk.
func TestLayersAndSecretStayClean(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.start("a")
		if got := l.ask(r, "a", "/fill?path=/home/user/file&mib=1"); got != "" {
			t.Errorf("writing: %s", got)
		}
		filepath.WalkDir(filepath.Dir(l.dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if info, err := d.Info(); err != nil || info.Size() > 1<<20 {
				return nil // a disk
			}
			if strings.Contains(path, "per/home/user/file") {
				t.Errorf("the layer has %s", path)
			}
			if b, _ := os.ReadFile(path); strings.Contains(string(b), "secret") {
				t.Errorf("the guest's secret is in %s", path)
			}
			return nil
		})
	})
}
