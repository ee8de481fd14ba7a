package bay

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/store"
)

// The warm pool is the sessions that are booted and belong to nobody yet. They
// are recorded as Starting, without a key; a crash leaves them to the sweep.

// takeLocked takes a session like want out of the pool, makes it want's caller's
// and Running, or returns nil. Taken under the lock, no two callers get the same.
func (b *Bay) takeLocked(want *session) *session {
	for _, s := range b.live {
		if s.spare && s.ImageDigest == want.ImageDigest && s.Runtime == want.Runtime {
			s.spare = false
			s.assume(want.Session)
			s.activeLocked()
			b.wantWarm()
			return s
		}
	}
	return nil
}

// assume makes a spare session what was wanted, but for its machine and secrets.
func (s *session) assume(want store.Session) {
	s.KeyID, s.Image, s.Labels, s.IdleTimeout = want.KeyID, want.Image, want.Labels, want.IdleTimeout
	s.CreatedAt, s.ActiveAt, s.SDK, s.Waits = want.CreatedAt, want.ActiveAt, want.SDK, want.Waits
	s.State = agentbay.Running
}

// give records whose a warm session is now.
func (b *Bay) give(ctx context.Context, s *session) (*agentbay.SessionInfo, error) {
	b.mu.Lock()
	x, info := s.Session, s.infoLocked()
	b.mu.Unlock()
	x.State = agentbay.Running
	return b.recorded(ctx, s, info, b.Store.Give(context.WithoutCancel(ctx), x))
}

// wantWarm asks for the pool to be filled.
func (b *Bay) wantWarm() {
	select {
	case b.refill <- struct{}{}:
	default: // it has been asked for
	}
}

// rewarmAfter is how long filling the pool rests when nobody takes from it: so
// long a spare that died is missed.
const rewarmAfter = time.Minute

// keepWarm keeps the pool filled until the bay ends. What fails is tried again
// later: a pool that is not full costs time, and nothing else.
func (b *Bay) keepWarm() {
	for {
		for name, want := range b.Warm {
			b.warmUp(name, want)
		}
		select {
		case <-b.ctx.Done():
			return
		case <-b.refill:
		case <-time.After(rewarmAfter):
		}
	}
}

// warmUp boots sessions of an image, one after the other, until want are ready,
// and ends those of an image the name no longer means.
func (b *Bay) warmUp(name string, want int) {
	img, err := b.Images.Get(name)
	if err != nil {
		b.Log.Warn("no warm sessions", "image", name, "err", err)
		return
	}
	for b.retireStale(name, img.Digest) < want {
		if err := b.addSpare(name); err != nil {
			b.Log.Warn("no warm session", "image", name, "err", err)
			return
		}
	}
}

// retireStale ends spares of a name with another digest than the name has now,
// and returns how many with that digest there are.
func (b *Bay) retireStale(name, digest string) (ready int) {
	var stale []*session
	b.mu.Lock()
	for _, s := range b.live {
		switch {
		case !s.spare || s.Image != name:
		case s.ImageDigest == digest:
			ready++
		default:
			stale = append(stale, s)
		}
	}
	b.mu.Unlock()
	for _, s := range stale {
		b.retire(b.ctx, s, "the image was rebuilt")
	}
	return ready
}

// addSpare boots one session into the pool.
func (b *Bay) addSpare(name string) error {
	spec, err := checkSpec(agentbay.SessionSpec{Image: name})
	if err != nil {
		return err
	}
	img, err := b.Images.Get(name)
	if err != nil {
		return err
	}
	s := b.plan(img, "", spec)
	if err := b.admitSpare(s); err != nil {
		s.over(err)
		return err
	}
	defer b.inFlight.Done()
	if err := b.boot(b.ctx, s, img); err != nil {
		return err
	}
	b.mu.Lock()
	s.spare = true
	b.mu.Unlock()
	b.watch(s)
	return nil
}

// admitSpare decides whether there may be one more spare session. Spares belong
// to no key and count towards no quota, but the host must not be full.
func (b *Bay) admitSpare(s *session) error {
	if err := b.HighWater.check(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return errClosing
	}
	b.inFlight.Add(1)
	b.live[s.ID] = s
	return nil
}

// discardWarm ends every spare session.
func (b *Bay) discardWarm() {
	var spares []*session
	b.mu.Lock()
	for _, s := range b.live {
		if s.spare {
			spares = append(spares, s)
		}
	}
	b.mu.Unlock()
	for _, s := range spares {
		b.retire(b.ctx, s, "the server shut down")
	}
}
