//go:build linux

package x11

import (
	"context"
	"time"

	"github.com/jezek/xgb/xproto"
)

// # When an effect is there
//
// X has no call that returns when a program has dealt with an event. But events
// arrive in order, so a question that is sent after them is answered after them:
// window managers carry out a request to move a window, and most programs answer a
// ping by which window managers find out whether they hang.

// How long an answer is waited for. What does not answer by then is busy, or
// does not know the question.
const (
	managerWithin = 500 * time.Millisecond
	clickWithin   = 250 * time.Millisecond
	typingWithin  = 10 * time.Second
)

// unasked is how long a window that cannot be asked is given.
const unasked = 30 * time.Millisecond

// settleManager returns when the window manager has dealt with what came before,
// and with what followed from it: that a window has the focus which it gave it, it
// hears from the X server.
func (s *Screen) settleManager(ctx context.Context) error {
	for range 2 {
		if _, err := s.askManager(ctx, managerWithin); err != nil {
			return err
		}
	}
	return nil
}

// askManager waits until the window manager has dealt with what came before, and
// reports whether it has within the limit. To move a window is left to it; one that
// it does not manage it moves at once.
func (s *Screen) askManager(ctx context.Context, limit time.Duration) (bool, error) {
	s.mu.Lock()
	s.asked++
	at := s.asked
	s.mu.Unlock()
	xproto.ConfigureWindow(s.x, s.own, xproto.ConfigWindowX, []uint32{uint32(at)})
	return s.await(ctx, limit, func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return int16(s.answered-at) >= 0, nil // the numbers begin again some time
	})
}

// settle returns when the window manager, and then the program of the active
// window, have dealt with what came before.
func (s *Screen) settle(ctx context.Context, limit time.Duration) error {
	if err := s.settleManager(ctx); err != nil {
		return err
	}
	w, err := s.activeID()
	if err != nil || w == 0 {
		return err
	}
	return s.ping(ctx, w, limit)
}

// ping waits until a window's program has dealt with what was sent to it.
func (s *Screen) ping(ctx context.Context, w xproto.Window, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	answers, err := s.answersPings(w)
	if err != nil {
		return nil // it is gone, and so has dealt with everything
	}
	var pong chan struct{}
	if answers {
		var forget func()
		pong, forget = s.sendPing(w)
		defer forget()
	} else {
		over.Reset(min(limit, unasked))
	}
	select {
	case <-pong:
		return nil
	case <-over.C:
		return nil
	case <-s.gone:
		return errGone
	case <-ctx.Done():
		return timedOut(ctx)
	}
}

// answersPings reports whether a window says that it answers pings. Of the active
// window it is asked once.
func (s *Screen) answersPings(w xproto.Window) (bool, error) {
	s.mu.Lock()
	front := s.front
	s.mu.Unlock()
	if front.known && front.window == w && front.answers {
		return true, nil
	}
	protocols, err := s.atomsOf(w, "WM_PROTOCOLS")
	if err != nil {
		return false, err
	}
	answers := protocols[s.atoms["_NET_WM_PING"]]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.front.known && s.front.window == w {
		s.front.answers = answers
	}
	return answers, nil
}

// sendPing pings a window; the channel is closed when it answers.
func (s *Screen) sendPing(w xproto.Window) (pong chan struct{}, forget func()) {
	pong = make(chan struct{})
	s.mu.Lock()
	s.pings++
	n := s.pings
	s.pongs[n] = pong
	s.mu.Unlock()
	ping := xproto.ClientMessageEvent{
		Format: 32, Window: w, Type: s.atoms["WM_PROTOCOLS"],
		Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(s.atoms["_NET_WM_PING"]), n, uint32(w), 0, 0}),
	}
	xproto.SendEvent(s.x, false, w, 0, string(ping.Bytes()))
	return pong, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pongs, n)
	}
}

// heardLocked takes the answer to a ping, which is sent to the root window.
func (s *Screen) heardLocked(e xproto.ClientMessageEvent) {
	if e.Type != s.atoms["WM_PROTOCOLS"] || e.Format != 32 || len(e.Data.Data32) < 2 || e.Data.Data32[0] != uint32(s.atoms["_NET_WM_PING"]) {
		return
	}
	if pong, ok := s.pongs[e.Data.Data32[1]]; ok {
		close(pong)
		delete(s.pongs, e.Data.Data32[1])
	}
}

// tell sends the window manager a message about a window.
func (s *Screen) tell(w xproto.Window, message string, data ...uint32) {
	all := make([]uint32, 5)
	copy(all, data)
	e := xproto.ClientMessageEvent{
		Format: 32, Window: w, Type: s.atoms[message], Data: xproto.ClientMessageDataUnionData32New(all),
	}
	xproto.SendEvent(s.x, false, s.root, xproto.EventMaskSubstructureNotify|xproto.EventMaskSubstructureRedirect, string(e.Bytes()))
}
