//go:build linux

// Package x11 is a screen of the X Window System: mouse and keyboard by the
// XTEST extension, windows by the conventions of window managers (EWMH),
// pictures through memory that is shared with the X server. All of it goes over
// one connection; no program is started for a call.
//
// A [Session] starts the X server, window manager and panel, and starts again
// what has ended.
package x11

import (
	"context"
	"io"
	"log"
	"sync"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/damage"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/desktop"
)

// errGone is what every call fails with when the X server has.
var errGone = guest.Failf(guest.Unsuccessful, "the desktop has ended and is being started again; try again in a moment")

// A Screen is the first screen of an X server.
type Screen struct {
	x     *xgb.Conn
	root  xproto.Window
	own   xproto.Window // never shown: what the window manager is asked about
	depth byte
	atoms map[string]xproto.Atom
	gone  chan struct{} // closed when the connection has ended

	acting chan struct{} // holds a token while somebody acts
	keys   keyboard      // guarded by acting
	shots  shooter

	mu            sync.Mutex
	width, height int           // guarded by mu
	changed       chan struct{} // closed at the next event; guarded by mu
	pongs         map[uint32]chan struct{}
	pings         uint32 // sent so far; guarded by mu
	focus         focus  // guarded by mu
	asked         uint16 // questions to it, by number; guarded by mu
	answered      uint16 // the last of them that was answered; guarded by mu
	front         front  // guarded by mu
}

var _ desktop.Screen = (*Screen)(nil)

func init() {
	xgb.Logger = log.New(io.Discard, "", 0) // what it has to say is returned as well
}

// Open connects to a display, such as ":0".
func Open(display string) (*Screen, error) {
	x, err := xgb.NewConnDisplay(display)
	if err != nil {
		return nil, err
	}
	setup := xproto.Setup(x).DefaultScreen(x)
	s := &Screen{
		x: x, root: setup.Root, depth: setup.RootDepth,
		width: int(setup.WidthInPixels), height: int(setup.HeightInPixels),
		gone: make(chan struct{}), acting: make(chan struct{}, 1),
		changed: make(chan struct{}), pongs: map[uint32]chan struct{}{},
	}
	if err := s.prepare(); err != nil {
		x.Close()
		return nil, err
	}
	go s.listen()
	return s, nil
}

// Close ends the connection.
func (s *Screen) Close() {
	s.x.Close()
	<-s.gone
	s.shots.close()
}

// prepare asks for all that is used later.
func (s *Screen) prepare() (err error) {
	if err := xtest.Init(s.x); err != nil {
		return err
	}
	if err := damage.Init(s.x); err != nil {
		return err
	}
	if s.atoms, err = intern(s.x); err != nil {
		return err
	}
	if s.own, err = xproto.NewWindowId(s.x); err != nil {
		return err
	}
	err = xproto.CreateWindowChecked(s.x, 0, s.own, s.root, -1, -1, 1, 1, 0, xproto.WindowClassInputOnly, 0,
		xproto.CwEventMask, []uint32{xproto.EventMaskStructureNotify}).Check()
	if err != nil {
		return err
	}
	mask := uint32(xproto.EventMaskPropertyChange | xproto.EventMaskSubstructureNotify | xproto.EventMaskStructureNotify)
	if err := xproto.ChangeWindowAttributesChecked(s.x, s.root, xproto.CwEventMask, []uint32{mask}).Check(); err != nil {
		return err
	}
	s.shots.open(s)
	return s.keys.read(s.x)
}

// A front is the active window as it was last seen.
type front struct {
	changes int // how often it changed
	known   bool
	window  xproto.Window
	answers bool // it answers pings
}

// Size implements desktop.Screen.
func (s *Screen) Size() (width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width, s.height
}

// Changed implements desktop.Screen.
func (s *Screen) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// listen takes events until the connection ends.
func (s *Screen) listen() {
	defer close(s.gone)
	for {
		event, err := s.x.WaitForEvent()
		if event == nil && err == nil {
			return
		}
		s.heed(event)
	}
}

// heed remembers what an event says, and wakes who waits for something.
func (s *Screen) heed(event xgb.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case xproto.ConfigureNotifyEvent:
		switch e.Window {
		case s.root:
			s.width, s.height = int(e.Width), int(e.Height)
		case s.own:
			s.answered = uint16(e.X)
		}
	case xproto.ClientMessageEvent:
		s.heardLocked(e)
	case xproto.PropertyNotifyEvent:
		s.heedPropertyLocked(e)
	case nil:
		return // an error, which belongs to nobody
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Screen) heedPropertyLocked(e xproto.PropertyNotifyEvent) {
	if e.Window != s.root || e.Atom != s.atoms["_NET_ACTIVE_WINDOW"] {
		return
	}
	s.front = front{changes: s.front.changes + 1}
	if s.focus.on {
		go s.guardFocus()
	}
}

// act has the screen to itself until the returned function is called.
func (s *Screen) act(ctx context.Context) (release func(), err error) {
	select {
	case s.acting <- struct{}{}:
		return func() { <-s.acting }, nil
	case <-s.gone:
		return nil, errGone
	case <-ctx.Done():
		return nil, timedOut(ctx)
	}
}

func timedOut(context.Context) error {
	return guest.Failf(guest.Unsuccessful, "[timeout] the screen was busy, or the window did not answer in time")
}

// sync returns when the X server has done all that it was asked.
func (s *Screen) sync() error {
	if _, err := xproto.GetInputFocus(s.x).Reply(); err != nil {
		return s.failed(err, "the X server")
	}
	return nil
}

// failed is the error of a request.
func (s *Screen) failed(err error, what string) error {
	select {
	case <-s.gone:
		return errGone
	default:
	}
	if err == io.EOF {
		return errGone
	}
	return guest.Failf(guest.Unsuccessful, "%s: %v", what, err)
}

// await waits until a condition holds, which is looked at after each event. It
// reports whether it does, within the limit.
func (s *Screen) await(ctx context.Context, limit time.Duration, holds func() (bool, error)) (bool, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		changed := s.Changed()
		if ok, err := holds(); ok || err != nil {
			return ok, err
		}
		select {
		case <-changed:
		case <-over.C:
			return false, nil
		case <-s.gone:
			return false, errGone
		case <-ctx.Done():
			return false, timedOut(ctx)
		}
	}
}

// names is every atom that is used.
var names = []string{
	"ESETROOT_PMAP_ID", "WM_CHANGE_STATE", "WM_PROTOCOLS",
	"_NET_ACTIVE_WINDOW", "_NET_CLIENT_LIST_STACKING", "_NET_CLOSE_WINDOW", "_NET_FRAME_EXTENTS", "_NET_MOVERESIZE_WINDOW", "_NET_NUMBER_OF_DESKTOPS",
	"_NET_SUPPORTING_WM_CHECK", "_NET_WM_NAME", "_NET_WM_PID", "_NET_WM_PING", "_NET_WM_STATE",
	"_NET_WM_STATE_FULLSCREEN", "_NET_WM_STATE_HIDDEN", "_NET_WM_STATE_MAXIMIZED_HORZ", "_NET_WM_STATE_MAXIMIZED_VERT",
	"_NET_WM_WINDOW_TYPE", "_NET_WM_WINDOW_TYPE_DESKTOP", "_NET_WM_WINDOW_TYPE_DOCK", "_XROOTPMAP_ID",
}

// intern asks for all atoms at once.
func intern(x *xgb.Conn) (map[string]xproto.Atom, error) {
	var asked []xproto.InternAtomCookie
	for _, n := range names {
		asked = append(asked, xproto.InternAtom(x, false, uint16(len(n)), n))
	}
	atoms := map[string]xproto.Atom{}
	for i, a := range asked {
		r, err := a.Reply()
		if err != nil {
			return nil, err
		}
		atoms[names[i]] = r.Atom
	}
	return atoms, nil
}
