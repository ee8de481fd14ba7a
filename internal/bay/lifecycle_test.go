package bay_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

func create(t testing.TB, s agentbay.Service, spec agentbay.SessionSpec) agentbay.SessionID {
	t.Helper()
	info, err := s.CreateSession(t.Context(), spec)
	if err != nil {
		t.Fatalf("CreateSession: %v", err)
	}
	return info.ID
}

func shell(t testing.TB, line string) tool.Call {
	t.Helper()
	c, err := tool.RunShell.Call(tool.ShellIn{Command: line})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// try calls echo and returns what went wrong.
func try(t testing.TB, s agentbay.Service, id agentbay.SessionID) error {
	t.Helper()
	reply, err := s.CallTool(t.Context(), id, shell(t, "echo hello"))
	if err != nil {
		return err
	}
	_, err = reply.Result(1 << 10)
	return err
}

// state is a session's state and why it ended.
func state(t testing.TB, s agentbay.Service, id agentbay.SessionID) (agentbay.State, string) {
	t.Helper()
	info, err := s.Session(t.Context(), id)
	if err != nil {
		t.Fatalf("Session: %v", err)
	}
	return info.State, info.EndReason
}

func wantState(t testing.TB, s agentbay.Service, id agentbay.SessionID, want agentbay.State, reason string) {
	t.Helper()
	if got, why := state(t, s, id); got != want || why != reason {
		t.Errorf("session is %s (%q), want %s (%q)", got, why, want, reason)
	}
}

// empty checks that nothing is left on the host.
func empty(t testing.TB, b *baytest.Bay) {
	t.Helper()
	if left := b.Host.Specs(); len(left) > 0 {
		t.Errorf("%d machines are left", len(left))
	}
	if left := b.Images.Owners(); len(left) > 0 {
		t.Errorf("images are still kept for %v", left)
	}
	if held, err := b.Store.Held(context.Background()); err != nil || len(held) > 0 {
		t.Errorf("records are still held: %v, %v", held, err)
	}
}

func TestIdleSessionIsReleased(t *testing.T) {
	for name, tc := range map[string]struct {
		after func(t *testing.T, s agentbay.Service, id agentbay.SessionID) // 40 s of 60
		want  time.Duration                                                 // of life from then on
	}{
		"untouched":       {func(*testing.T, agentbay.Service, agentbay.SessionID) {}, 20 * time.Second},
		"called":          {func(t *testing.T, s agentbay.Service, id agentbay.SessionID) { try(t, s, id) }, time.Minute},
		"kept alive":      {func(t *testing.T, s agentbay.Service, id agentbay.SessionID) { s.KeepAlive(t.Context(), id) }, time.Minute},
		"state was asked": {func(t *testing.T, s agentbay.Service, id agentbay.SessionID) { s.Session(t.Context(), id) }, 20 * time.Second},
		"was listed": {func(t *testing.T, s agentbay.Service, id agentbay.SessionID) {
			s.Sessions(t.Context(), agentbay.SessionQuery{})
		}, 20 * time.Second},
		"labels were set":  {func(t *testing.T, s agentbay.Service, id agentbay.SessionID) { s.SetLabels(t.Context(), id, nil) }, 20 * time.Second},
		"call for a while": {longCall(30 * time.Second), time.Minute},
		"call for an hour": {longCall(time.Hour), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := baytest.New(t)
				s := b.Service(t, "mine")
				id := create(t, s, agentbay.SessionSpec{IdleTimeout: time.Minute})
				time.Sleep(40 * time.Second)
				tc.after(t, s, id)
				time.Sleep(tc.want - time.Second)
				wantState(t, s, id, agentbay.Running, "")
				time.Sleep(2 * time.Second)
				wantState(t, s, id, agentbay.Finished, "idle for 60 s")
				empty(t, b)
			})
		})
	}
}

// longCall calls a tool for so long.
func longCall(d time.Duration) func(*testing.T, agentbay.Service, agentbay.SessionID) {
	return func(t *testing.T, s agentbay.Service, id agentbay.SessionID) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if _, err := s.CallTool(ctx, id, shell(t, "sleep")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call for %v: %v", d, err)
		}
	}
}

func TestCallLastsUntilItsAnswerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{IdleTimeout: time.Minute})
		reply, err := s.CallTool(t.Context(), id, shell(t, "echo hello"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		wantState(t, s, id, agentbay.Running, "")
		reply.Body.Close()
		reply.Body.Close() // twice is once
		time.Sleep(61 * time.Second)
		wantState(t, s, id, agentbay.Finished, "idle for 60 s")
	})
}

func TestMachinesEndIsKnownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		inFlight := make(chan error, 1)
		go func() {
			_, err := s.CallTool(t.Context(), id, shell(t, "sleep"))
			inFlight <- err
		}()
		synctest.Wait()
		b.Host.Kill(id, "out of memory (limit 2.0 GiB)")
		synctest.Wait()
		wantState(t, s, id, agentbay.Finished, "out of memory (limit 2.0 GiB)")
		wantGone(t, "call in flight", <-inFlight, "out of memory (limit 2.0 GiB)")
		time.Sleep(12 * time.Second)
		wantGone(t, "later call", try(t, s, id), "it ended 12 s ago: out of memory (limit 2.0 GiB)")
		wantGone(t, "delete", s.DeleteSession(t.Context(), id), "out of memory")
		empty(t, b)
	})
}

func wantGone(t testing.TB, what string, err error, words string) {
	t.Helper()
	if message := agentbay.MessageOf(err); !errors.Is(err, agentbay.NotFound) || !strings.Contains(message, "not found") || !strings.Contains(message, words) {
		t.Errorf("%s: %v; want NotFound with %q", what, err, words)
	}
}

func TestDeleteEndsCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		inFlight := make(chan error, 1)
		go func() {
			_, err := s.CallTool(t.Context(), id, shell(t, "sleep"))
			inFlight <- err
		}()
		synctest.Wait()
		if err := s.DeleteSession(t.Context(), id); err != nil {
			t.Fatalf("DeleteSession: %v", err)
		}
		wantGone(t, "call in flight", <-inFlight, "deleted")
		synctest.Wait()
		wantState(t, s, id, agentbay.Finished, "deleted")
		empty(t, b)
	})
}

func TestOnlyOneDeleteSucceeds(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	errs := make(chan error)
	for range 10 {
		go func() { errs <- s.DeleteSession(t.Context(), id) }()
	}
	deleted := 0
	for range 10 {
		if err := <-errs; err == nil {
			deleted++
		} else if !errors.Is(err, agentbay.NotFound) {
			t.Errorf("second delete: %v, want NotFound", err)
		}
	}
	if deleted != 1 {
		t.Errorf("%d deletes succeeded, want 1", deleted)
	}
}

func TestReleaseThatFailsIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		b.Host.SetFaults(fake.Faults{Stop: func(agentbay.SessionID) error { return errors.New("device is busy") }})
		if err := s.DeleteSession(t.Context(), id); err != nil {
			t.Fatalf("DeleteSession: %v", err)
		}
		time.Sleep(3 * time.Minute)
		wantState(t, s, id, agentbay.Deleting, "deleted")
		b.Host.SetFaults(fake.Faults{})
		time.Sleep(time.Minute + time.Second)
		wantState(t, s, id, agentbay.Finished, "deleted")
		empty(t, b)
	})
}

func TestEndedSessionIsForgottenAfterRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, func(b *baytest.Bay) { b.Retention = time.Hour })
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		s.DeleteSession(t.Context(), id)
		time.Sleep(59 * time.Minute)
		wantState(t, s, id, agentbay.Finished, "deleted")
		time.Sleep(3 * time.Minute)
		if _, err := s.Session(t.Context(), id); !errors.Is(err, agentbay.NotFound) {
			t.Errorf("Session after retention: %v, want NotFound", err)
		}
	})
}

func TestFailedBootLeavesNothing(t *testing.T) {
	failure := func(err error) func(runtime.Spec) error { return func(runtime.Spec) error { return err } }
	for name, tc := range map[string]struct {
		faults fake.Faults
		want   agentbay.Code
	}{
		"host full":    {fake.Faults{Start: failure(agentbay.Errorf(agentbay.Exhausted, "no slots"))}, agentbay.Exhausted},
		"did not boot": {fake.Faults{Start: failure(errors.New("exit status 1"))}, agentbay.Unavailable},
		"hangs":        {fake.Faults{Boot: time.Hour}, agentbay.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := baytest.New(t)
				s := b.Service(t, "mine")
				b.Host.SetFaults(tc.faults)
				if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); !errors.Is(err, tc.want) {
					t.Errorf("CreateSession: %v, want %s", err, tc.want)
				}
				empty(t, b)
				if page, err := s.Sessions(t.Context(), agentbay.SessionQuery{State: agentbay.Finished}); err != nil || page.Total != 0 {
					t.Errorf("there is a record of it: %+v, %v", page, err)
				}
			})
		})
	}
}

func TestCallerWhoLeavesDuringBootLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		b.Host.SetFaults(fake.Faults{Boot: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.CreateSession(ctx, agentbay.SessionSpec{}); err == nil {
			t.Error("CreateSession succeeded for a caller who has left")
		}
		empty(t, b)
	})
}

func TestQuotaHoldsUnderConcurrentCreation(t *testing.T) {
	const most = 5
	b := baytest.New(t, func(b *baytest.Bay) { b.MaxSessionsPerKey, b.MaxSessions = most, most+2 })
	mine, other := b.Service(t, "mine"), b.Service(t, "other")
	count := func(s agentbay.Service) (made int) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 * most {
			all.Go(func() {
				_, err := s.CreateSession(t.Context(), agentbay.SessionSpec{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else if !errors.Is(err, agentbay.Exhausted) {
					t.Errorf("CreateSession above the quota: %v, want Exhausted", err)
				}
			})
		}
		all.Wait()
		return made
	}
	if made := count(mine); made != most {
		t.Errorf("one key made %d sessions, want %d", made, most)
	}
	if made := count(other); made != 2 {
		t.Errorf("the other key made %d sessions, want the 2 the server had left", made)
	}
}

func TestDeleteMakesRoomAtOnce(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) { b.MaxSessionsPerKey = 1 })
	s := b.Service(t, "mine")
	for range 10 {
		if err := s.DeleteSession(t.Context(), create(t, s, agentbay.SessionSpec{})); err != nil {
			t.Fatalf("DeleteSession: %v", err)
		}
	}
}

func TestFullHostRefusesAndSaysTheNumbers(t *testing.T) {
	for what, fill := range map[string]func(*baytest.Bay){
		"memory":     func(b *baytest.Bay) { b.HighWater.FreeMemory = 1 << 60 },
		"disk space": func(b *baytest.Bay) { b.HighWater.Dir, b.HighWater.FreeDisk = "/", 1<<60 },
	} {
		b := baytest.New(t, fill)
		_, err := b.Service(t, "mine").CreateSession(t.Context(), agentbay.SessionSpec{})
		if message := agentbay.MessageOf(err); !errors.Is(err, agentbay.Exhausted) || !strings.Contains(message, what) || !strings.Contains(message, "GiB free") {
			t.Errorf("short of %s: %v", what, err)
		}
	}
}

func TestHostRunningOutEndsTheHeaviestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(8 << 30)
		b := baytest.New(t, func(b *baytest.Bay) {
			b.HighWater.FreeDisk = 2 << 30
			b.HighWater.Read = func() (bay.Room, error) { return bay.Room{Disk: free.Load()}, nil }
		})
		s := b.Service(t, "mine")
		light, heavy := create(t, s, agentbay.SessionSpec{}), create(t, s, agentbay.SessionSpec{})
		written := map[agentbay.SessionID]int64{light: 1 << 20, heavy: 6 << 30}
		b.Host.SetFaults(fake.Faults{Usage: func(id agentbay.SessionID) runtime.Usage { return runtime.Usage{Disk: written[id]} }})

		free.Store(3 << 29) // 1.5 GiB: no new sessions, but those that are there go on
		time.Sleep(time.Minute)
		if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); !errors.Is(err, agentbay.Exhausted) {
			t.Errorf("CreateSession below the mark: %v, want Exhausted", err)
		}
		wantState(t, s, heavy, agentbay.Running, "")

		free.Store(1 << 29) // 0.5 GiB
		time.Sleep(2 * time.Second)
		wantState(t, s, heavy, agentbay.Finished, "the host ran short of disk space (0.5 GiB free) and this session used the most (6.0 GiB)")
		time.Sleep(time.Minute) // the light one would not help
		wantState(t, s, light, agentbay.Running, "")
	})
}

func TestKeysOwnQuotaWins(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) { b.MaxSessionsPerKey = 1 })
	s := b.As(store.Key{ID: "ak-1", MaxSessions: 2})
	create(t, s, agentbay.SessionSpec{})
	create(t, s, agentbay.SessionSpec{})
	if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("third session of a key that may have two: %v, want Exhausted", err)
	}
}

func TestCreateAndDeleteManyAtOnceLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				id := create(t, s, agentbay.SessionSpec{Labels: map[string]string{"a": "b"}})
				if err := errors.Join(try(t, s, id), s.DeleteSession(t.Context(), id)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		empty(t, b)
		page, err := s.Sessions(t.Context(), agentbay.SessionQuery{State: agentbay.Finished})
		if err != nil || page.Total != 50 {
			t.Errorf("%+v ended, %v; want 50", page.Total, err)
		}
	})
}
