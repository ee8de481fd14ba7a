package bay

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/control"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// # A person at the screen
//
// Each session has a desk (package control), at which people sit who look at its
// page. While one of them has control, the agent's input is refused or, if the
// session wants that, waits; what only looks goes on. What a person does with
// mouse and keyboard keeps a session from being idle, and so does control; a page
// that is only open does not.

// newDesk makes the desk of a session.
func (b *Bay) newDesk(s *session) *control.Desk {
	return &control.Desk{Audit: func(e control.Event) { b.audit(s, e) }}
}

// audit records that control changed hands. The end of control is activity, from
// which the session may be idle again.
func (b *Bay) audit(s *session, e control.Event) {
	b.touchedBy(s)
	event := agentbay.ControlEvent{At: e.At, Kind: e.Kind, Address: e.Address, Note: e.Note, Held: e.Held}
	b.Log.Info("control", "session", s.ID, "kind", e.Kind, "address", e.Address, "held_s", e.Held.Seconds())
	b.check(s, "record control", b.Store.AddControlEvent(context.WithoutCancel(b.ctx), s.ID, event))
}

// touchedBy records that a person has done something.
func (b *Bay) touchedBy(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.humanAt = time.Now()
	if s.State == agentbay.Running && s.calls == 0 {
		s.idle.Reset(s.IdleTimeout)
	}
}

// mayAct waits, or refuses, while a person has control.
func (u *use) mayAct() (refusal string, err error) {
	desk := u.caller.bay.deskOf(u.session)
	since, held := desk.Held()
	if !held {
		return "", nil
	}
	if u.session.Waits {
		err := desk.Free(u.ctx)
		return "", err
	}
	return "a person is in control of this session since " + since.UTC().Format("15:04:05 MST") +
		"; try again when they have handed it back", nil
}

// A Viewing is a session as one page of it sees it.
type Viewing struct {
	Desk   *control.Desk
	MayAct bool                                              // else it only watches
	Dial   func(context.Context) (io.ReadWriteCloser, error) // to its screen; nil if it has none
	Touch  func()                                            // records that a person has done something
}

// View lets in who shows the token of a session's page.
//
// NotFound: there is no such session, or it has ended.
// Denied: that is no token of its pages, or was revoked.
func (b *Bay) View(ctx context.Context, id agentbay.SessionID, token string) (*Viewing, error) {
	acts := false
	_, err := b.enter(ctx, id, func(secret string) bool {
		round := b.viewRound(id)
		acts = gate.Match(token, gate.ViewToken(secret, round, true))
		return acts || gate.Match(token, gate.ViewToken(secret, round, false))
	})
	if err != nil {
		if agentbay.CodeOf(err) == agentbay.Denied {
			err = agentbay.Wrap(err, agentbay.Denied, "this link does not open session %s, or was revoked; ask for a new one", id)
		}
		return nil, err
	}
	b.mu.Lock()
	s := b.live[id]
	running := s != nil && s.State == agentbay.Running
	b.mu.Unlock()
	if !running {
		return nil, agentbay.Errorf(agentbay.Unavailable, "session %s is not running yet; try again in a moment", id)
	}
	v := &Viewing{Desk: b.deskOf(s), MayAct: acts, Touch: func() { b.touchedBy(s) }}
	if s.has(tool.Desktop) {
		v.Dial = func(ctx context.Context) (io.ReadWriteCloser, error) { return b.dialScreen(ctx, s) }
	}
	return v, nil
}

func (b *Bay) viewRound(id agentbay.SessionID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.live[id]; s != nil {
		return s.ViewRound
	}
	return 0
}

// dialScreen connects to a session's screen. That is no call: who only looks does
// not keep the session.
func (b *Bay) dialScreen(ctx context.Context, s *session) (io.ReadWriteCloser, error) {
	conn, err := s.guest.DialPort(ctx, guest.ScreenPort)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(s.alive, func() { conn.Close() })
	return screenConn{conn, stop}, nil
}

// A screenConn is a connection that is closed when its session ends.
type screenConn struct {
	io.ReadWriteCloser
	stop func() bool
}

func (c screenConn) Close() error {
	c.stop()
	return c.ReadWriteCloser.Close()
}

// viewPath is the path of a session's page.
func (s *session) viewPathLocked(act bool) string {
	return gate.ViewPath(string(s.ID), gate.ViewToken(s.Token, s.ViewRound, act))
}

func (c *caller) ViewLink(ctx context.Context, id agentbay.SessionID, watchOnly bool) (string, error) {
	s, err := c.running(ctx, id)
	if err != nil {
		return "", err
	}
	c.bay.mu.Lock()
	defer c.bay.mu.Unlock()
	return s.viewPathLocked(!watchOnly), nil
}

func (c *caller) RevokeViews(ctx context.Context, id agentbay.SessionID) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "revoke views", began, err, "session", id) }()
	s, err := c.running(ctx, id)
	if err != nil {
		return err
	}
	round, err := c.bay.Store.NextViewRound(ctx, id)
	if err != nil {
		return agentbay.Wrap(err, agentbay.Internal, "the links of session %s could not be revoked; try again", id)
	}
	c.bay.mu.Lock()
	s.ViewRound = max(s.ViewRound, round)
	old := s.desk
	s.desk = c.bay.newDesk(s)
	s.desk.Succeed(old)
	c.bay.mu.Unlock()
	old.End(agentbay.Errorf(agentbay.Denied, "this link was revoked"))
	return nil
}

// maxHistory is how many events of control are told.
const maxHistory = 100

func (c *caller) Control(ctx context.Context, id agentbay.SessionID) (*agentbay.Control, error) {
	s, err := c.running(ctx, id)
	if err != nil {
		return nil, err
	}
	events, err := c.bay.Store.ControlEvents(ctx, id, maxHistory)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "who had control of session %s could not be looked up", id)
	}
	st := c.bay.deskOf(s).State()
	return &agentbay.Control{Viewers: st.Viewers, Held: st.Holder != "", Since: st.Since, Help: st.Help, History: events}, nil
}

func (b *Bay) deskOf(s *session) *control.Desk {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.desk
}

func (c *caller) RequestHelp(ctx context.Context, id agentbay.SessionID, message string) (*agentbay.Help, error) {
	if strings.TrimSpace(message) == "" {
		return nil, agentbay.Errorf(agentbay.Invalid, "say what help is needed; the message is shown to the person")
	}
	use, err := c.use(ctx, id, "request help")
	if err != nil {
		return nil, err
	}
	h := c.bay.deskOf(use.session).Ask(agentbay.HelpOther, strings.ToValidUTF8(message, "�"), 0)
	return &h, use.end(nil)
}

func (c *caller) AnswerHelp(ctx context.Context, id agentbay.SessionID, help, note string) error {
	use, err := c.use(ctx, id, "answer help")
	if err != nil {
		return err
	}
	return use.end(c.bay.deskOf(use.session).Answer(shorten(help), strings.ToValidUTF8(note, "�")))
}

// WatchHelp calls yield with each request for help to the people at a session's
// screen as it is made and once it is done, beginning with those that are open, and
// returns when ctx or the session ends. It does not keep the session from being idle.
func (b *Bay) WatchHelp(ctx context.Context, id agentbay.SessionID, yield func(agentbay.Help)) {
	b.mu.Lock()
	s := b.live[id]
	b.mu.Unlock()
	if s == nil {
		return
	}
	told := map[string]bool{} // by ID, whether it was told to be done
	for first := true; ; first = false {
		desk := b.deskOf(s)
		changed := desk.Changed()
		for _, h := range desk.State().Help {
			done := h.State == agentbay.HelpDone
			if was, known := told[h.ID]; known && was == done {
				continue
			}
			told[h.ID] = done
			if !first || !done {
				yield(h)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-s.alive.Done():
			return
		}
	}
}
