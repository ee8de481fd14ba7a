package bay_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// warm keeps n sessions ready, on a host where each boot lasts a second.
func warm(n int) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		b.Warm = map[string]int{"linux_latest": n}
		b.Host.SetFaults(fake.Faults{Boot: time.Second})
	}
}

func TestWarmSessionIsThereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(2))
		s := b.Service(t, "mine")
		time.Sleep(10 * time.Second)
		began := time.Now()
		id := create(t, s, agentbay.SessionSpec{Labels: map[string]string{"a": "b"}, IdleTimeout: time.Minute})
		if took := time.Since(began); took > 0 {
			t.Errorf("a warm session took %v", took)
		}
		must(t, try(t, s, id))
		page, err := s.Sessions(t.Context(), agentbay.SessionQuery{Labels: map[string]string{"a": "b"}})
		if err != nil || page.Total != 1 || !page.Sessions[0].CreatedAt.Equal(began) || page.Sessions[0].State != agentbay.Running {
			t.Errorf("it is listed as %+v, %v", page, err)
		}
		time.Sleep(2 * time.Second)
		if n := len(b.Host.Specs()); n != 3 {
			t.Errorf("%d machines after the pool was filled again, want 1 and 2 spare", n)
		}
		time.Sleep(time.Minute)
		wantState(t, s, id, agentbay.Finished, "idle for 60 s")
		if n := len(b.Host.Specs()); n != 2 {
			t.Errorf("%d machines, want 2 spare", n)
		}
	})
}

func TestSpareSessionsAreNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(1), func(b *baytest.Bay) { b.MaxSessions = 1 })
		time.Sleep(10 * time.Second)
		s := b.Service(t, "mine")
		for _, state := range []agentbay.State{"", agentbay.Starting, agentbay.Running} {
			if page, err := s.Sessions(t.Context(), agentbay.SessionQuery{State: state}); err != nil || page.Total != 0 {
				t.Errorf("%s sessions: %+v, %v; want none", state, page, err)
			}
		}
		for id := range b.Host.Specs() {
			for name, s := range map[string]agentbay.Service{"a key": s, "no key": b.As(store.Key{})} {
				if err := try(t, s, id); err == nil {
					t.Errorf("%s called a spare session", name)
				}
			}
		}
		create(t, s, agentbay.SessionSpec{}) // a spare one counts towards no quota
	})
}

func TestNoTwoCallersGetOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(5))
		time.Sleep(10 * time.Second)
		mine, other := b.Service(t, "mine"), b.Service(t, "other")
		var mu sync.Mutex
		got := map[agentbay.SessionID]int{}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				id := create(t, []agentbay.Service{mine, other}[i%2], agentbay.SessionSpec{})
				mu.Lock()
				defer mu.Unlock()
				got[id]++
			})
		}
		all.Wait()
		if len(got) != 20 {
			t.Errorf("20 callers got %d sessions", len(got))
		}
	})
}

func TestPoolIsOnlyForWhatItWasBootedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(1))
		time.Sleep(10 * time.Second)
		s := b.Service(t, "mine")
		if info, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Image: "code_latest"}); err != nil || info.ImageDigest != "sha256:c0de01" {
			t.Errorf("another image: %+v, %v", info, err)
		}
		b.Images.Build("linux_latest", "sha256:111002", image.Config{Families: []tool.Family{tool.Shell}})
		if info, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); err != nil || info.ImageDigest != "sha256:111002" {
			t.Errorf("after a rebuild: %+v, %v", info, err)
		}
		time.Sleep(time.Minute + 5*time.Second)
		digests := map[string]int{}
		for _, digest := range b.Images.Owners() {
			digests[digest]++
		}
		if digests["sha256:111001"] != 0 || digests["sha256:111002"] != 2 {
			t.Errorf("machines of digests %v, want one and one spare of the new", digests)
		}
	})
}

func TestSpareThatDiesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(1))
		time.Sleep(10 * time.Second)
		for id := range b.Host.Specs() {
			b.Host.Kill(id, "out of memory")
		}
		time.Sleep(time.Minute)
		s := b.Service(t, "mine")
		must(t, try(t, s, create(t, s, agentbay.SessionSpec{})))
		time.Sleep(2 * time.Second)
		if n := len(b.Host.Specs()); n != 2 {
			t.Errorf("%d machines, want one and one spare", n)
		}
	})
}

func TestPoolIsEmptiedAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(3))
		time.Sleep(2 * time.Second) // one or two are there, one is booting
		must(t, b.Shutdown(t.Context()))
		empty(t, b)
	})
}

func TestPoolWaitsWhileTheHostIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, warm(1), func(b *baytest.Bay) { b.HighWater.FreeMemory = 1 << 60 })
		time.Sleep(time.Minute)
		empty(t, b)
	})
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		reply, err := s.CallTool(t.Context(), id, shell(t, "echo hello"))
		must(t, err)
		done := make(chan error, 1)
		go func() { done <- b.Shutdown(t.Context()) }()
		synctest.Wait()
		if err := try(t, s, id); !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("call during shutdown: %v, want Unavailable", err)
		}
		if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("CreateSession during shutdown: %v, want Unavailable", err)
		}
		if r, err := reply.Result(1 << 10); err != nil || r.Failed {
			t.Errorf("call that was in flight: %+v, %v", r, err)
		}
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if n := len(b.Host.Specs()); n != 1 {
			t.Errorf("%d machines go on after shutdown, want 1", n)
		}
	})
}

func TestShutdownCutsCallsThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		call := make(chan error, 1)
		go func() {
			_, err := s.CallTool(t.Context(), id, shell(t, "sleep"))
			call <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v, want that it took too long", err)
		}
		if err := <-call; !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("call that was cut: %v, want Unavailable", err)
		}
	})
}

func TestShutdownWaitsForMountsOfANewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		x := newContext(t, s)
		goOn := make(chan struct{})
		b.Host.SetFaults(fake.Faults{Mount: func(runtime.Mount) error { <-goOn; return nil }})
		created, down := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
			created <- err
		}()
		synctest.Wait()
		go func() { down <- b.Shutdown(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-down:
			t.Errorf("Shutdown while a session is being made: %v, want it to wait", err)
		default:
		}
		close(goOn)
		if err := <-created; err != nil {
			t.Errorf("CreateSession: %v", err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}
