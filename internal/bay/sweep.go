package bay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// Sweep makes the host agree with the store: it adopts what runs and is
// recorded, ends the record of what does not run, finishes what was begun, and
// stops what no record knows. It is safe to run at any time, any number of
// times; it leaves alone what this bay has in memory and is at work on.
//
// A session that cannot be swept is logged, does not keep it from the others,
// and is tried again by the next sweep. What takes time goes on in the
// background.
func (b *Bay) Sweep(ctx context.Context) error {
	known := b.liveIDs() // before it is read what may have changed when it is looked at
	left, err := b.machines(ctx)
	if err != nil {
		return err
	}
	held, err := b.Store.Held(ctx)
	if err != nil {
		return fmt.Errorf("recorded sessions: %w", err)
	}
	ended := b.takeStuck(time.Now())
	for _, x := range held {
		m := left[x.ID]
		delete(left, x.ID)
		if known[x.ID] || b.isLive(x.ID) {
			continue
		}
		s, err := b.reconcile(ctx, x, m.Alive)
		if err != nil {
			b.Log.ErrorContext(ctx, "session could not be swept; it is tried again", "session", x.ID, "err", err)
		}
		if s != nil {
			ended = append(ended, s)
		}
	}
	maps.DeleteFunc(left, func(id agentbay.SessionID, _ machine) bool { return known[id] })
	b.background.Go(func() { b.clear(ended, left) })
	return nil
}

// clear releases what has ended, and stops machines that no record holds.
func (b *Bay) clear(ended []*session, left map[agentbay.SessionID]machine) {
	few := make(chan struct{}, 4) // at once
	var all sync.WaitGroup
	for _, s := range ended {
		few <- struct{}{}
		all.Go(func() {
			b.release(s)
			<-few
		})
	}
	all.Wait()
	for _, m := range left {
		if !b.isLive(m.ID) {
			b.evict(m)
		}
	}
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

func (b *Bay) liveIDs() map[agentbay.SessionID]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make(map[agentbay.SessionID]bool, len(b.live))
	for id := range b.live {
		ids[id] = true
	}
	return ids
}

func (b *Bay) isLive(id agentbay.SessionID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live[id] != nil
}

// takeStuck returns the sessions whose release failed and is to be tried again
// by then: at the next sweep at first, and then less and less often.
func (b *Bay) takeStuck(then time.Time) (stuck []*session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.live {
		if s.stuck && !then.Before(s.nextTry) {
			s.stuck = false
			stuck = append(stuck, s)
		}
	}
	return stuck
}

// retry tries at once again what failed for want of room, perhaps.
func (b *Bay) retry() {
	stuck := b.takeStuck(time.Now().Add(time.Hour)) // which is all of them
	b.background.Go(func() { b.clear(stuck, nil) })
}

// reconcile deals with a recorded session that is not in memory. It returns the
// session if it has ended and must be released.
func (b *Bay) reconcile(ctx context.Context, x store.Session, alive bool) (ended *session, err error) {
	rt, ok := b.Runtimes[x.Runtime]
	if !ok {
		err := b.Store.Finish(ctx, x.ID, "the server no longer has the runtime "+x.Runtime, time.Now())
		return nil, errors.Join(err, fmt.Errorf("what it holds is kept until runtime %q is configured again", x.Runtime))
	}
	if x.State == agentbay.Running && alive {
		return nil, b.adopt(ctx, x, rt)
	}
	reason, err := b.whyEnded(ctx, x, rt)
	if err != nil {
		return nil, err
	}
	return b.bury(ctx, x, rt, reason)
}

// bury records the end of a session that nobody watched.
func (b *Bay) bury(ctx context.Context, x store.Session, rt runtime.Runtime, reason string) (*session, error) {
	if x.State == agentbay.Running {
		if err := b.Store.Finish(ctx, x.ID, reason, time.Now()); err != nil {
			return nil, err
		}
		x.State, x.EndedAt = agentbay.Finished, time.Now()
	}
	if x.State == agentbay.Starting {
		x.State = agentbay.Deleting
	}
	x.EndReason = reason
	s := b.newSession(x, rt, image.Image{})
	s.over(gone(x))
	if err := b.remount(ctx, s); err != nil {
		return nil, err
	}
	b.mu.Lock()
	s.oweLocked()
	b.live[x.ID] = s
	b.mu.Unlock()
	b.logEnd(s)
	return s, nil
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
		return "", fmt.Errorf("why it ended: %w", err)
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
		return fmt.Errorf("its image: %w", err)
	}
	s := b.newSession(x, rt, img)
	if err := b.remount(ctx, s); err != nil {
		return err
	}
	s.saved = x.ActiveAt
	b.mu.Lock()
	b.live[s.ID] = s
	left := x.IdleTimeout - time.Since(x.ActiveAt)
	s.idle.Reset(max(left+saveEvery, min(x.IdleTimeout, minAdopted)))
	b.mu.Unlock()
	b.watch(s)
	b.finishMounts(s)
	b.resume(ctx, s)
	b.goOnRecording(ctx, s)
	b.Log.InfoContext(ctx, "session adopted", "session", s.ID)
	return nil
}

// evict stops a machine that no record holds.
func (b *Bay) evict(m machine) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), releaseTimeout)
	defer cancel()
	err := m.runtime.Stop(ctx, m.ID)
	if err == nil {
		err = b.Images.Release(string(m.ID))
	}
	b.Log.Warn("machine without a record stopped", "session", m.ID, "err", err)
}
