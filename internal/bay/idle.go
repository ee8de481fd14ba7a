package bay

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
)

// minAdopted is how long an adopted session is kept at least, whatever its idle
// timer says: its callers could not reach it while there was no server.
const minAdopted = time.Minute

// The idle timer of a session runs while it is Running. When it goes off, no call
// is in flight, and both the agent and the people at its screen have been idle as
// long, the session is released; the end of the last call, and
// KeepAlive, set it anew. A call that begins does not stop it: calls are many,
// and the timer going off during one does nothing.

// idled is what a session's timer does.
func (b *Bay) idled(s *session) {
	b.mu.Lock()
	left := s.IdleTimeout - min(time.Since(s.ActiveAt), time.Since(s.humanAt))
	_, held := s.desk.Held() // its end sets the timer anew
	busy := s.calls > 0 || held
	if !busy && left > 0 {
		s.idle.Reset(left)
	}
	b.mu.Unlock()
	if busy || left > 0 || b.join() != nil {
		return
	}
	defer b.inFlight.Done()
	b.retire(b.ctx, s, "idle for "+seconds(s.IdleTimeout))
}

// activeLocked records activity of a session.
func (s *session) activeLocked() {
	s.ActiveAt = time.Now()
	if s.State == agentbay.Running && s.calls == 0 {
		s.idle.Reset(s.IdleTimeout)
	}
}

// saveActivity records in the store which sessions were active, so that a server
// that takes over knows. Sessions with calls in flight are active.
func (b *Bay) saveActivity(ctx context.Context) {
	active := b.unsavedActivity()
	if len(active) == 0 {
		return
	}
	err := b.Store.Touch(context.WithoutCancel(ctx), active) // or Shutdown could think it done
	if err == nil {
		return
	}
	b.Log.ErrorContext(ctx, "activity could not be recorded; it is tried again", "err", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range active {
		if s := b.live[id]; s != nil {
			s.saved = time.Time{}
		}
	}
}

// unsavedActivity returns when sessions were active that the store does not know
// of, and takes it for saved.
func (b *Bay) unsavedActivity() map[agentbay.SessionID]time.Time {
	active := map[agentbay.SessionID]time.Time{}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, s := range b.live {
		if s.calls > 0 {
			s.ActiveAt = time.Now()
		}
		if s.State == agentbay.Running && s.ActiveAt.After(s.saved) {
			active[id], s.saved = s.ActiveAt, s.ActiveAt
		}
	}
	return active
}
