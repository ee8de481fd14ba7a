package bay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/control"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// A session is a live session: one for which the host may hold something.
type session struct {
	store.Session // guarded by Bay.mu, but for ID, Runtime, Isolation and secrets, which never change

	machine  runtime.Runtime
	families []tool.Family
	guest    *guest.Client

	user   runtime.User  // who tools run as; never changes
	mounts []*mount      // guarded by Bay.mu
	moves  int           // movements of files under way that were asked for; guarded by Bay.mu
	tasks  []*task       // the last movement of files of each kind, oldest first; guarded by Bay.mu
	named  int           // how many names mounts were given; guarded by Bay.mu
	saving chan struct{} // closed when one try at saving what it wrote is over; nil if none is owed; guarded by Bay.mu

	newsMu sync.Mutex
	news   map[string]time.Time // when what was brought in came into the transfer context; guarded by newsMu

	alive context.Context         // done when no call can go on; its cause says why
	over  context.CancelCauseFunc // ends alive

	idle      *time.Timer   // see idle.go
	humanAt   time.Time     // when a person last did something; guarded by Bay.mu
	desk      *control.Desk // see takeover.go; guarded by Bay.mu
	recorders recorders     // see record.go; guarded by Bay.mu
	pageTasks []*pageTask   // see operate.go, oldest first; guarded by Bay.mu
	calls     int           // in flight; guarded by Bay.mu
	saved     time.Time     // the ActiveAt the store has; guarded by Bay.mu
	spare     bool          // booted, and waiting in the warm pool; guarded by Bay.mu
	stuck     bool          // its release failed and must be repeated; guarded by Bay.mu
	tries     int           // of its release that failed; guarded by Bay.mu
	nextTry   time.Time     // when its release is tried again, at the earliest; guarded by Bay.mu
	metered   sample        // the last reading of its counters; guarded by Bay.mu
}

// newSession makes the in-memory half of a recorded session.
func (b *Bay) newSession(x store.Session, rt runtime.Runtime, img image.Image) *session {
	s := &session{Session: x, machine: rt, families: img.Config.Families, user: img.Config.User}
	s.NoLink = img.Config.NoLink
	if link, ok := b.Links[x.Image]; ok {
		s.NoLink = !link
	}
	s.desk = b.newDesk(s)
	s.guest = &guest.Client{Token: x.GuestToken, Dial: func(ctx context.Context) (net.Conn, error) { return rt.Dial(ctx, x.ID) }}
	s.alive, s.over = context.WithCancelCause(b.ctx)
	s.idle = time.AfterFunc(time.Hour, func() { b.idled(s) })
	s.idle.Stop() // until it runs
	return s
}

// infoLocked is what callers may know of s.
func (s *session) infoLocked() *agentbay.SessionInfo {
	info := s.SessionInfo
	info.Labels = maps.Clone(info.Labels)
	info.ResourceURL = s.viewPathLocked(true)
	return &info
}

// has reports whether tools of a family work in s.
func (s *session) has(f tool.Family) bool {
	if f == tool.System {
		return true
	}
	for _, have := range s.families {
		if have == f {
			return true
		}
	}
	return false
}

// watch ends a session when its machine ends.
func (b *Bay) watch(s *session) {
	b.background.Go(func() {
		exit, err := s.machine.Wait(b.ctx, s.ID)
		if err != nil {
			return // the bay ends
		}
		if !b.end(s, agentbay.Finished, exit.Reason) {
			return
		}
		b.logEnd(s)
		b.check(s, "finish", b.Store.Finish(context.WithoutCancel(b.ctx), s.ID, exit.Reason, time.Now()))
		b.release(s)
	})
}

// end takes a session out of service for a reason: to Deleting if its machine is
// to be stopped, to Finished if it is dead already. Calls in flight fail with
// the reason. It reports whether the session was in service until now; then, and
// only then, the caller goes on to release it.
func (b *Bay) end(s *session, to agentbay.State, reason string) bool {
	b.mu.Lock()
	if s.State != agentbay.Running && !s.spare {
		b.mu.Unlock()
		return false
	}
	s.spare = false
	s.State, s.EndReason = to, reason
	if to == agentbay.Finished {
		s.EndedAt = time.Now()
	}
	s.idle.Stop()
	s.oweLocked()
	why := gone(s.Session)
	desk := s.desk
	b.mu.Unlock()
	s.over(why)
	desk.End(why)
	return true
}

// retire ends a running session and releases it in the background. Once it
// returns nil, the session is Deleting for everybody, also after a crash.
//
// Conflict: it was not running any more.
// Unavailable: it is being released, but a crash could bring it back.
func (b *Bay) retire(ctx context.Context, s *session, reason string) error {
	err := b.condemn(ctx, s, reason)
	if !errors.Is(err, agentbay.Conflict) {
		b.background.Go(func() { b.release(s) })
	}
	return err
}

// condemn is retire without the release, which the caller owes unless it fails
// with Conflict.
func (b *Bay) condemn(ctx context.Context, s *session, reason string) error {
	if !b.end(s, agentbay.Deleting, reason) {
		return agentbay.Errorf(agentbay.Conflict, "session %s has ended already", s.ID)
	}
	b.logEnd(s)
	err := b.Store.Deleting(context.WithoutCancel(ctx), s.ID, reason)
	b.check(s, "delete", err)
	return agentbay.Wrap(err, agentbay.Unavailable, "the end of session %s could not be recorded; try again", s.ID)
}

// releaseTimeout bounds one try at freeing what a session holds.
const releaseTimeout = time.Minute

// release saves what an ended session wrote to contexts, frees all that it
// holds, and then lets go of its record.
// What fails is logged and left to the next sweep.
func (b *Bay) release(s *session) {
	b.endRecordings(s)
	s.guest.CloseIdle()
	if err := b.saveAll(s); err != nil {
		b.repeat(s, err, true)
		return
	}
	if err := b.free(s); err != nil {
		b.repeat(s, err, false)
		return
	}
	b.mu.Lock()
	delete(b.live, s.ID)
	b.mu.Unlock()
}

// repeat has the release of a session be tried again: at the next sweep or, where
// that is much work, less and less often.
func (b *Bay) repeat(s *session, err error, slower bool) {
	b.check(s, "release", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	s.stuck, s.nextTry = true, time.Now()
	if slower {
		s.nextTry = s.nextTry.Add(min(sweepEvery<<min(s.tries, 6), time.Hour) - sweepEvery)
	}
	s.tries++
}

// free stops a session's machine, releases its image and records that nothing is
// held for it. It can be repeated after any of its steps.
func (b *Bay) free(s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), releaseTimeout)
	defer cancel()
	b.mu.Lock()
	x := s.Session
	b.mu.Unlock()
	if err := s.machine.Stop(ctx, x.ID); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if err := b.letMounts(ctx, s); err != nil {
		return fmt.Errorf("release mounts: %w", err)
	}
	if err := b.Images.Release(string(x.ID)); err != nil {
		return fmt.Errorf("release image: %w", err)
	}
	return b.Store.LetGo(ctx, x.ID, x.EndReason, time.Now())
}

// gone is the error of a call to a session that has ended, or is about to.
func gone(x store.Session) error {
	if x.State == agentbay.Deleting {
		return agentbay.Errorf(agentbay.NotFound, "session %s not found: it is being released (%s)", x.ID, x.EndReason)
	}
	when := "just now"
	if ago := time.Since(x.EndedAt).Round(time.Second); ago > 0 {
		when = seconds(ago) + " ago"
	}
	return agentbay.Errorf(agentbay.NotFound, "session %s not found: it ended %s: %s", x.ID, when, x.EndReason)
}

// notFound is the error of a call to a session that the caller has not.
func notFound(id agentbay.SessionID) error {
	return agentbay.Errorf(agentbay.NotFound, "session %s not found", shorten(string(id)))
}

// shorten keeps what a client sent, and is repeated to it, from being long.
func shorten(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// seconds is a duration as people say it: "60 s", "1.5 s", "2 h 5 min".
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Minute:
		return fmt.Sprintf("%g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}
