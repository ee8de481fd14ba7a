package bay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// Sweep makes the host agree with the store: it adopts what runs and is
// recorded, ends the record of what does not run, finishes what was begun, and
// stops what no record knows. It is safe to run at any time, any number of
// times; it leaves alone what this bay has in memory and is at work on. One
// session that cannot be swept does not keep it from the others.
func (b *Bay) Sweep(ctx context.Context) error {
	alive, err := b.machines(ctx)
	if err != nil {
		return err
	}
	held, err := b.Store.Held(ctx)
	if err != nil {
		return fmt.Errorf("recorded sessions: %w", err)
	}
	b.releaseStuck()
	for _, x := range held {
		if b.isLive(x.ID) {
			delete(alive, x.ID)
			continue
		}
		err = errors.Join(err, b.reconcile(ctx, x, alive[x.ID].Alive))
		delete(alive, x.ID)
	}
	for _, m := range alive {
		if !b.isLive(m.ID) {
			err = errors.Join(err, b.evict(ctx, m))
		}
	}
	return err
}

// A machine is what a runtime says it has.
type machine struct {
	runtime.Machine
	runtime runtime.Runtime
}

// machines lists what is on the host.
func (b *Bay) machines(ctx context.Context) (map[agentbay.SessionID]machine, error) {
	all := map[agentbay.SessionID]machine{}
	for name, rt := range b.Runtimes {
		list, err := rt.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("machines of %s: %w", name, err)
		}
		for _, m := range list {
			all[m.ID] = machine{m, rt}
		}
	}
	return all, nil
}

func (b *Bay) isLive(id agentbay.SessionID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live[id] != nil
}

// releaseStuck tries again what could not be released.
func (b *Bay) releaseStuck() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.live {
		if s.stuck {
			s.stuck = false
			b.background.Go(func() { b.release(s) })
		}
	}
}

// reconcile deals with a recorded session that is not in memory.
func (b *Bay) reconcile(ctx context.Context, x store.Session, alive bool) error {
	rt, ok := b.Runtimes[x.Runtime]
	if !ok {
		err := b.Store.Finish(ctx, x.ID, "the server no longer has the runtime "+x.Runtime, time.Now())
		return errors.Join(err, fmt.Errorf("session %s: what it holds is kept until runtime %q is configured again", x.ID, x.Runtime))
	}
	if x.State == agentbay.Running && alive {
		return b.adopt(ctx, x, rt)
	}
	reason, err := b.whyEnded(ctx, x, rt)
	if err != nil {
		return err
	}
	b.Log.Info("session ended", "session", x.ID, "reason", reason)
	if x.State == agentbay.Running {
		err = b.Store.Finish(ctx, x.ID, reason, time.Now())
	}
	x.EndReason = reason
	return errors.Join(err, b.free(ctx, rt, x))
}

// whyEnded is the reason for the end of a session that nobody watched.
func (b *Bay) whyEnded(ctx context.Context, x store.Session, rt runtime.Runtime) (string, error) {
	switch {
	case x.EndReason != "":
		return x.EndReason, nil
	case x.State == agentbay.Starting:
		return "the server stopped while it was booting", nil
	case x.State != agentbay.Running: // its machine may still be there
		return "deleted", nil
	}
	ctx, cancel := context.WithTimeout(ctx, deathNotice)
	defer cancel()
	exit, err := rt.Wait(ctx, x.ID)
	if err != nil {
		return "", fmt.Errorf("session %s: %w", x.ID, err)
	}
	if exit.Reason == "" {
		return "its machine ended while there was no server", nil
	}
	return exit.Reason, nil
}

// adopt takes over a session that runs.
func (b *Bay) adopt(ctx context.Context, x store.Session, rt runtime.Runtime) error {
	img, err := b.Images.Get(x.ImageDigest)
	if err == nil {
		err = b.Images.Acquire(x.ImageDigest, string(x.ID))
	}
	if err != nil {
		return fmt.Errorf("session %s: its image: %w", x.ID, err)
	}
	s := b.newSession(x, rt, img)
	s.saved = x.ActiveAt
	b.mu.Lock()
	b.live[s.ID] = s
	left := x.IdleTimeout - time.Since(x.ActiveAt)
	s.idle.Reset(max(left+saveEvery, min(x.IdleTimeout, minAdopted)))
	b.mu.Unlock()
	b.watch(s)
	b.Log.InfoContext(ctx, "session adopted", "session", s.ID)
	return nil
}

// evict stops a machine that no record holds.
func (b *Bay) evict(ctx context.Context, m machine) error {
	b.Log.WarnContext(ctx, "machine without a record stopped", "session", m.ID)
	if err := m.runtime.Stop(ctx, m.ID); err != nil {
		return fmt.Errorf("stop %s: %w", m.ID, err)
	}
	return b.Images.Release(string(m.ID))
}
