package bay

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
)

// minAdopted is how long an adopted session is kept at least, whatever its idle
// timer says: its callers could not reach it while there was no server.
const minAdopted = time.Minute

// The idle timer of a session runs while it is Running. When it goes off and no
// call is in flight, the session is released; the end of the last call, and
// KeepAlive, set it anew. A call that begins does not stop it: calls are many,
// and the timer going off during one does nothing.

// idled is what a session's timer does.
func (b *Bay) idled(s *session) {
	b.mu.Lock()
	left := s.IdleTimeout - time.Since(s.ActiveAt)
	busy := s.calls > 0
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

// active records activity of a session. Bay.mu must be held.
func (s *session) activeLocked() {
	s.ActiveAt = time.Now()
	if s.State == agentbay.Running && s.calls == 0 {
		s.idle.Reset(s.IdleTimeout)
	}
}

// saveActivity records in the store which sessions were active, so that a server
// that takes over knows. Sessions with calls in flight are active.
func (b *Bay) saveActivity(ctx context.Context) {
	changed := map[agentbay.SessionID]time.Time{}
	b.mu.Lock()
	for id, s := range b.live {
		if s.calls > 0 {
			s.ActiveAt = time.Now()
		}
		if s.State == agentbay.Running && s.ActiveAt.After(s.saved) {
			changed[id], s.saved = s.ActiveAt, s.ActiveAt
		}
	}
	b.mu.Unlock()
	if len(changed) == 0 {
		return
	}
	if err := b.Store.Touch(ctx, changed); err != nil && ctx.Err() == nil {
		b.Log.ErrorContext(ctx, "activity could not be recorded", "err", err)
	}
}
