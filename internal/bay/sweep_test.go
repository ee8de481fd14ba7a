package bay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// Whatever a crash left, in the store, on the host and of images, Start makes
// them agree, and a second sweep finds nothing to do.
func TestStartMakesHostAndStoreAgree(t *testing.T) {
	for _, recorded := range []agentbay.State{"", agentbay.Starting, agentbay.Running, agentbay.Deleting, agentbay.Finished} {
		for _, machine := range []string{"none", "alive", "dead"} {
			for _, kept := range []bool{true, false} {
				t.Run(fmt.Sprintf("recorded %s, machine %s, image kept %v", recorded, machine, kept), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { sweepOne(t, recorded, machine, kept) })
				})
			}
		}
	}
}

func sweepOne(t *testing.T, recorded agentbay.State, machine string, kept bool) {
	const id = "session-left"
	x := store.Session{
		SessionInfo: agentbay.SessionInfo{
			ID: id, Image: "code_latest", ImageDigest: "sha256:c0de01", State: recorded,
			IdleTimeout: time.Minute, CreatedAt: time.Now(), Token: "tok-x",
		},
		Runtime: "fake", GuestToken: "tok-guest", ActiveAt: time.Now(),
	}
	if recorded == agentbay.Finished {
		x.EndReason, x.EndedAt = "out of memory", time.Now()
	}
	var key store.Key
	b := baytest.New(t, func(b *baytest.Bay) {
		b.NewKey(t, "mine")
		key, _ = b.Store.Key(t.Context(), "mine")
		x.KeyID = key.ID
		if recorded != "" {
			must(t, b.Store.AddSession(t.Context(), x))
		}
		if machine != "none" {
			must(t, b.Host.Start(t.Context(), runtime.Spec{ID: id, Token: x.GuestToken}))
		}
		if machine == "dead" {
			must(t, b.Host.Kill(id, "killed"))
		}
		if kept && (recorded != "" || machine != "none") {
			must(t, b.Images.Acquire(x.ImageDigest, id))
		}
	})
	s := b.As(key)
	for range 2 {
		synctest.Wait()
		switch {
		case recorded == agentbay.Running && machine == "alive":
			wantState(t, s, id, agentbay.Running, "")
			must(t, try(t, s, id))
		case recorded == "":
			if _, err := s.Session(t.Context(), id); !errors.Is(err, agentbay.NotFound) {
				t.Errorf("Session of what was never recorded: %v, want NotFound", err)
			}
			empty(t, b)
		default:
			if got, why := state(t, s, id); got != agentbay.Finished || why == "" {
				t.Errorf("session is %s (%q), want FINISH with a reason", got, why)
			}
			empty(t, b)
		}
		must(t, b.Sweep(t.Context()))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAdoptedSessionKeepsItsIdleTime(t *testing.T) {
	for name, tc := range map[string]struct{ timeout, idle, left time.Duration }{
		"much left":   {10 * time.Minute, 2 * time.Minute, 8 * time.Minute},
		"little left": {10 * time.Minute, 595 * time.Second, time.Minute},
		"none left":   {10 * time.Minute, time.Hour, time.Minute},
		"short":       {30 * time.Second, time.Hour, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := baytest.New(t)
				service := first.Service(t, "mine")
				id := create(t, service, agentbay.SessionSpec{IdleTimeout: tc.timeout})
				time.Sleep(20 * time.Second)
				must(t, try(t, service, id))
				must(t, first.Shutdown(t.Context()))
				time.Sleep(tc.idle)
				second := baytest.New(t, func(b *baytest.Bay) { b.Store, b.Host, b.Runtimes = first.Store, first.Host, first.Runtimes })
				key, err := second.Store.Key(t.Context(), "mine")
				must(t, err)
				s := second.As(key)
				time.Sleep(tc.left - time.Second)
				wantState(t, s, id, agentbay.Running, "")
				time.Sleep(10 * time.Second)
				if got, _ := state(t, s, id); got != agentbay.Finished {
					t.Errorf("session is %s, want FINISH", got)
				}
			})
		})
	}
}

func TestActivityIsKnownAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		called := create(t, s, agentbay.SessionSpec{})
		untouched := create(t, s, agentbay.SessionSpec{})
		ctx, cancel := context.WithCancel(t.Context())
		go s.CallTool(ctx, called, shell(t, "sleep"))
		time.Sleep(time.Minute)
		for id, want := range map[agentbay.SessionID]time.Duration{called: 5 * time.Second, untouched: time.Minute} {
			x, err := b.Store.Session(t.Context(), id)
			must(t, err)
			if ago := time.Since(x.ActiveAt); ago > want || ago < want-5*time.Second {
				t.Errorf("the store says that the session was active %v ago, want about %v", ago, want)
			}
		}
		cancel()
	})
}

var errKilled = errors.New("the server was killed")

// A process is a server that is killed before or after the n-th thing it does to
// the host. From then on it does nothing: its store is closed, and whatever it
// tries on the host fails.
type process struct {
	*baytest.Host
	*baytest.ImageSet
	store *store.Store

	mu   sync.Mutex
	left int // steps until it is killed; guarded by mu
}

func (p *process) step() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left--; p.left == 0 {
		p.store.Close()
	}
	if p.left <= 0 {
		return errKilled
	}
	return nil
}

// around kills before or after f.
func (p *process) around(f func() error) error {
	if err := p.step(); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, p.step())
}

func (p *process) List(ctx context.Context) ([]runtime.Machine, error) { return p.Host.List(ctx) }

func (p *process) Start(ctx context.Context, spec runtime.Spec) error {
	return p.around(func() error { return p.Host.Start(ctx, spec) })
}

func (p *process) Stop(ctx context.Context, id agentbay.SessionID) error {
	return p.around(func() error { return p.Host.Stop(ctx, id) })
}

func (p *process) Dial(ctx context.Context, id agentbay.SessionID) (net.Conn, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	return p.Host.Dial(ctx, id)
}

// An imageStore is a process's images: Host and ImageSet both have a List.
type imageStore struct {
	*baytest.ImageSet
	p *process
}

func (s imageStore) Acquire(digest, owner string) error {
	return s.p.around(func() error { return s.ImageSet.Acquire(digest, owner) })
}

func (s imageStore) Release(owner string) error {
	return s.p.around(func() error { return s.ImageSet.Release(owner) })
}

func TestKilledServerLosesAndLeaksNothing(t *testing.T) {
	for steps := 1; ; steps++ {
		survived := false
		t.Run(fmt.Sprintf("after %d steps", steps), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { survived = killedAfter(t, steps) })
		})
		if survived || t.Failed() {
			return
		}
	}
}

// A history is what callers were told.
type history struct {
	mu      sync.Mutex
	created map[agentbay.SessionID]bool // and neither deleted nor killed since
	deleted map[agentbay.SessionID]bool
}

// killedAfter runs a server until it is killed, and another after it. It reports
// whether the first had nothing left to do when it was to be killed.
func killedAfter(t *testing.T, steps int) (survived bool) {
	dir, host, images := t.TempDir(), baytest.NewHost(), baytest.Images()
	db, err := store.Open(t.Context(), dir)
	must(t, err)
	defer db.Close()
	must(t, db.AddKey(t.Context(), store.Key{ID: "ak-1", Name: "mine", Hash: "h"}))

	p := &process{Host: host, store: db, left: steps}
	first := start(t, db, p, imageStore{images, p}, map[string]int{"linux_latest": 1})
	told := work(t, first, host)
	stopped, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	first.Shutdown(stopped)
	survived = p.left > 0

	db, err = store.Open(t.Context(), dir)
	must(t, err)
	defer db.Close()
	second := start(t, db, host, images, nil)
	defer host.StopAll()
	defer second.Shutdown(t.Context())
	for range 2 {
		synctest.Wait()
		verify(t, second, host, images, told)
		must(t, second.Sweep(t.Context()))
	}
	return survived
}

func start(t *testing.T, db *store.Store, rt runtime.Runtime, images bay.Images, warm map[string]int) *bay.Bay {
	b := &bay.Bay{
		Store: db, Images: images, Runtimes: map[string]runtime.Runtime{"fake": rt}, Warm: warm,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	must(t, b.Start(t.Context()))
	return b
}

// work is what happens until the server is killed: two sessions at once, calls,
// a delete, a machine that dies, an idle release, another session.
func work(t *testing.T, b *bay.Bay, host *baytest.Host) *history {
	told := &history{created: map[agentbay.SessionID]bool{}, deleted: map[agentbay.SessionID]bool{}}
	s := b.As(store.Key{ID: "ak-1"})
	synctest.Wait() // for the warm session
	var both sync.WaitGroup
	for _, image := range []string{"linux_latest", "code_latest"} {
		both.Go(func() { told.create(t, s, agentbay.SessionSpec{Image: image, IdleTimeout: time.Hour}) })
	}
	both.Wait()
	told.create(t, s, agentbay.SessionSpec{IdleTimeout: time.Second})
	ids := slices.Sorted(maps.Keys(told.created))
	for i, id := range ids {
		try(t, s, id)
		if i == 0 && s.DeleteSession(t.Context(), id) == nil {
			told.deleted[id] = true
		}
		if i == 1 {
			host.Kill(id, "killed")
		}
		if i < 2 {
			delete(told.created, id)
		}
	}
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return told
}

func (h *history) create(t *testing.T, s agentbay.Service, spec agentbay.SessionSpec) {
	info, err := s.CreateSession(t.Context(), spec)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.created[info.ID] = spec.IdleTimeout == time.Hour
}

// verify checks that host, images and store agree, and with what callers were told.
func verify(t *testing.T, b *bay.Bay, host *baytest.Host, images *baytest.ImageSet, told *history) {
	t.Helper()
	s := b.As(store.Key{ID: "ak-1"})
	page, err := s.Sessions(t.Context(), agentbay.SessionQuery{Limit: 100})
	must(t, err)
	var recorded []agentbay.SessionID
	for _, x := range page.Sessions {
		if x.State != agentbay.Running {
			t.Errorf("session %s is %s", x.ID, x.State)
		}
		recorded = append(recorded, x.ID)
	}
	slices.Sort(recorded)
	if machines := slices.Sorted(maps.Keys(host.Specs())); !slices.Equal(machines, recorded) {
		t.Errorf("recorded %v, on the host %v", recorded, machines)
	}
	if owners := images.Owners(); len(owners) != len(recorded) {
		t.Errorf("recorded %v, images kept for %v", recorded, owners)
	}
	if held, err := b.Store.Held(t.Context()); err != nil || len(held) != len(recorded) {
		t.Errorf("recorded %v, held %v, %v", recorded, held, err)
	}
	for id, long := range told.created {
		if err := try(t, s, id); long && err != nil {
			t.Errorf("session %s was lost: %v", id, err)
		}
	}
	for id := range told.deleted {
		wantState(t, s, id, agentbay.Finished, "deleted")
	}
}
