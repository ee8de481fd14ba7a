package oci

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/runtimetest"
)

// crashEnv makes the test binary a server on that state directory.
const crashEnv = "AGENTBAY_TEST_CRASH_SERVER"

// crashServer starts machines, mounts something in them and stops some, until it
// is killed.
func crashServer(dir string) {
	program, profile := os.Getenv(crashEnv+"_GUEST"), RunSC
	if os.Getenv(crashEnv+"_PROFILE") == RunC.Name {
		profile = RunC
	}
	l := &lab{profile: profile, dir: dir, binary: findBinary(profile.Name), cgroup: os.Getenv(crashEnv + "_CGROUP")}
	r, err := Open(l.options())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("open")
	mount := runtime.Mount{Name: "m", Target: "/data/m", Layers: []string{filepath.Join(dir, "..", "layer")}}
	var group sync.WaitGroup
	for worker := range 3 {
		group.Go(func() {
			for n := 0; ; n++ {
				id := agentbay.SessionID(fmt.Sprintf("p%d-w%d-%d", os.Getpid(), worker, n))
				if err := r.Start(context.Background(), runtime.Spec{
					ID: id, Layers: []string{filepath.Join(dir, "..", "upper"), filepath.Join(dir, "..", "lower")}, Guest: []string{program},
				}); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
				if n%3 > 0 {
					if err := r.Mount(context.Background(), id, mount); err != nil {
						fmt.Fprintln(os.Stderr, err)
					}
					runtimetest.Ask(context.Background(), r, id, "/write?path=/data/m/g&text="+string(id))
				}
				if n%4 == 2 {
					r.Halt(context.Background(), id)
				}
				if n%2 == 1 {
					r.Stop(context.Background(), id)
				}
			}
		})
	}
	group.Wait()
}

// Whenever a server is killed, the next finds its living machines and can clear
// away all the others.
func TestNothingIsLostOrLeftByKill(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		rounds := 12
		if n, err := strconv.Atoi(os.Getenv("AGENTBAY_CRASH_ROUNDS")); err == nil {
			rounds = n
		}
		adopted, dead := 0, 0
		for range rounds {
			l.crash(time.Duration(rand.IntN(2000)) * time.Millisecond)
			a, d := l.recover()
			adopted, dead = adopted+a, dead+d
		}
		t.Logf("%d kills: %d machines adopted, %d dead ones cleared away", rounds, adopted, dead)
	})
}

// crash runs a server and kills it some time after it is open.
func (l *lab) crash(after time.Duration) {
	l.t.Helper()
	spec := l.spec("x")
	l.layer()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"="+l.dir, crashEnv+"_GUEST="+spec.Guest[0],
		crashEnv+"_PROFILE="+l.profile.Name, crashEnv+"_CGROUP="+l.cgroup)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.t.Fatalf("start a server: %v", err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 5)); err != nil {
		l.t.Fatalf("the server did not open: %v", err)
	}
	time.Sleep(after) // the moment is what the test varies
}

// recover does what the next server does, and counts what it found.
func (l *lab) recover() (adopted, dead int) {
	l.t.Helper()
	r := l.open()
	defer l.finish(r)
	list, err := r.List(context.Background())
	if err != nil {
		l.t.Fatalf("List: %v", err)
	}
	for _, m := range list {
		l.wantWhole(r, m.ID)
		if !m.Alive {
			dead++
			continue
		}
		adopted++
		l.remount(r, m.ID)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if _, err := runtimetest.Ask(ctx, r, m.ID, "/info"); err != nil {
			l.t.Errorf("adopted machine %s does not answer: %v", m.ID, err)
		}
		cancel()
	}
	return adopted, dead
}

// wantWhole checks that what a machine wrote to its mount, if it did, is there.
func (l *lab) wantWhole(r *Runtime, id agentbay.SessionID) {
	l.t.Helper()
	w, err := r.Written(context.Background(), id, "m")
	if errors.Is(err, agentbay.NotFound) {
		return
	}
	if err != nil {
		l.t.Errorf("Written of %s: %v", id, err)
		return
	}
	if b, err := os.ReadFile(w.Upper + "/g"); err == nil && len(b) > 0 && string(b) != string(id) {
		l.t.Errorf("machine %s has written %q", id, b)
	}
	if b, err := os.ReadFile(w.Merged + "/f"); string(b) != "layer" {
		l.t.Errorf("machine %s sees %q, %v in its layer", id, b, err)
	}
}

// remount does again what may have been cut short, and has the machine read.
func (l *lab) remount(r *Runtime, id agentbay.SessionID) {
	l.t.Helper()
	if err := r.Mount(context.Background(), id, l.data()); err != nil && !errors.Is(err, agentbay.Conflict) {
		l.t.Errorf("Mount in adopted machine %s: %v", id, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if got, err := runtimetest.Ask(ctx, r, id, "/read?path=/data/m/f"); err != nil || got != "layer" {
		l.t.Errorf("adopted machine %s reads %q, %v in its layer", id, got, err)
	}
}
