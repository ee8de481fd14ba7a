//go:build linux

package x11

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/jezek/xgb/xproto"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/desktop"
	"github.com/agentbay/agentbay/tool"
)

// maxWindows bounds how many windows are listed, and maxTitle their titles.
const (
	maxWindows = 1000
	maxTitle   = 4096 // bytes
)

// property reads a property of a window; a window without it has none.
func (s *Screen) property(w xproto.Window, name string, words uint32) xproto.GetPropertyCookie {
	return xproto.GetProperty(s.x, false, w, s.atoms[name], xproto.GetPropertyTypeAny, 0, words)
}

// words is a property's value as numbers.
func words(r *xproto.GetPropertyReply) (list []uint32) {
	if r == nil || r.Format != 32 {
		return nil
	}
	for b := r.Value; len(b) >= 4; b = b[4:] {
		list = append(list, binary.LittleEndian.Uint32(b))
	}
	return list
}

// atomsOf is a property that is a set of atoms.
func (s *Screen) atomsOf(w xproto.Window, name string) (map[xproto.Atom]bool, error) {
	r, err := s.property(w, name, 64).Reply()
	if err != nil {
		return nil, err
	}
	set := map[xproto.Atom]bool{}
	for _, a := range words(r) {
		set[xproto.Atom(a)] = true
	}
	return set, nil
}

// activeID is the active window, 0 if there is none. It is asked for when it has
// changed.
func (s *Screen) activeID() (xproto.Window, error) {
	s.mu.Lock()
	seen := s.front
	s.mu.Unlock()
	if seen.known {
		return seen.window, nil
	}
	r, err := s.property(s.root, "_NET_ACTIVE_WINDOW", 1).Reply()
	if err != nil {
		return 0, s.failed(err, "the active window")
	}
	if list := words(r); len(list) > 0 {
		seen.window = xproto.Window(list[0])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.front.changes == seen.changes {
		seen.known = true
		s.front = seen
	}
	return seen.window, nil
}

// managed is the windows of applications, the lowest first.
func (s *Screen) managed() ([]xproto.Window, error) {
	r, err := s.property(s.root, "_NET_CLIENT_LIST_STACKING", maxWindows).Reply()
	if err != nil {
		return nil, s.failed(err, "the list of windows")
	}
	var list []xproto.Window
	for _, id := range words(r) {
		list = append(list, xproto.Window(id))
	}
	return list, nil
}

// Windows implements desktop.Screen.
func (s *Screen) Windows(context.Context) ([]tool.Window, error) {
	ids, err := s.managed()
	if err != nil {
		return nil, err
	}
	slices.Reverse(ids)
	return s.describe(ids), nil
}

// Active implements desktop.Screen.
func (s *Screen) Active(context.Context) (tool.Window, error) {
	id, err := s.activeID()
	if err != nil || id == 0 {
		return tool.Window{}, err
	}
	for _, w := range s.describe([]xproto.Window{id}) {
		return w, nil
	}
	return tool.Window{}, nil
}

// A question is what is asked about a window, all at once.
type question struct {
	kind, name, oldName, pid, extents xproto.GetPropertyCookie
	size                              xproto.GetGeometryCookie
	at                                xproto.TranslateCoordinatesCookie
}

// describe describes windows. Panels, and windows that end meanwhile, are left out.
func (s *Screen) describe(ids []xproto.Window) (list []tool.Window) {
	asked := make([]question, len(ids))
	for i, w := range ids {
		asked[i] = question{
			kind:    s.property(w, "_NET_WM_WINDOW_TYPE", 8),
			name:    s.property(w, "_NET_WM_NAME", maxTitle/4),
			oldName: xproto.GetProperty(s.x, false, w, xproto.AtomWmName, xproto.GetPropertyTypeAny, 0, maxTitle/4),
			pid:     s.property(w, "_NET_WM_PID", 1),
			extents: s.property(w, "_NET_FRAME_EXTENTS", 4),
			size:    xproto.GetGeometry(s.x, xproto.Drawable(w)),
			at:      xproto.TranslateCoordinates(s.x, w, s.root, 0, 0),
		}
	}
	for i, q := range asked {
		if w, ok := s.answer(q); ok {
			w.ID, w.Children = int(ids[i]), []tool.Window{}
			list = append(list, w)
		}
	}
	return list
}

// answer makes a window of all that was answered.
func (s *Screen) answer(q question) (w tool.Window, ok bool) {
	kind, err1 := q.kind.Reply()
	name, err2 := q.name.Reply()
	old, err3 := q.oldName.Reply()
	pid, err4 := q.pid.Reply()
	extents, err5 := q.extents.Reply()
	size, err6 := q.size.Reply()
	at, err7 := q.at.Reply()
	for _, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if err != nil {
			return w, false
		}
	}
	for _, k := range words(kind) {
		if a := xproto.Atom(k); a == s.atoms["_NET_WM_WINDOW_TYPE_DOCK"] || a == s.atoms["_NET_WM_WINDOW_TYPE_DESKTOP"] {
			return w, false
		}
	}
	w.Title = textOf(name)
	if w.Title == "" {
		w.Title = textOf(old)
	}
	if p := words(pid); len(p) > 0 && p[0] < 1<<31 {
		w.PID = int(p[0])
	}
	e := append(words(extents), 0, 0, 0, 0) // left, right, top, bottom
	w.X, w.Y = int(at.DstX)-int(e[0]), int(at.DstY)-int(e[2])
	w.Width, w.Height = int(size.Width)+int(e[0]+e[1]), int(size.Height)+int(e[2]+e[3])
	return w, true
}

// textOf is a property that is text, of whatever encoding a program took for it.
func textOf(r *xproto.GetPropertyReply) string {
	if r.Format != 8 {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimRight(string(r.Value), "\x00"), "�")
}

// window checks that there is such a window of an application.
func (s *Screen) window(id int) (xproto.Window, error) {
	ids, err := s.managed()
	if err != nil {
		return 0, err
	}
	if w := xproto.Window(id); id > 0 && slices.Contains(ids, w) {
		return w, nil
	}
	return 0, guest.Failf(guest.BadArgument, "there is no window %d; list_root_windows lists them", id)
}

// changeWithin is how long a window may take to do what it is told.
const changeWithin = 2 * time.Second

// Change implements desktop.Screen.
func (s *Screen) Change(ctx context.Context, id int, c desktop.Change) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	w, err := s.window(id)
	if err != nil {
		return err
	}
	s.follow(w)
	switch c {
	case desktop.Activate:
		return s.activate(ctx, w)
	case desktop.CloseIt:
		return s.close(ctx, w)
	case desktop.Minimize:
		s.tell(w, "WM_CHANGE_STATE", 3) // IconicState
		return s.reach(ctx, w, "minimized", func(st state) bool { return st.hidden })
	case desktop.Maximize:
		s.setState(w, false, "_NET_WM_STATE_FULLSCREEN", "")
		s.setState(w, true, "_NET_WM_STATE_MAXIMIZED_HORZ", "_NET_WM_STATE_MAXIMIZED_VERT")
		if err := s.activate(ctx, w); err != nil {
			return err
		}
		return s.reach(ctx, w, "maximized", func(st state) bool { return st.maximized })
	case desktop.Fullscreen:
		s.setState(w, true, "_NET_WM_STATE_FULLSCREEN", "")
		if err := s.activate(ctx, w); err != nil {
			return err
		}
		return s.reach(ctx, w, "full screen", func(st state) bool { return st.fullscreen })
	}
	return s.restore(ctx, w)
}

// follow has events of a window sent here.
func (s *Screen) follow(w xproto.Window) {
	xproto.ChangeWindowAttributes(s.x, w, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange | xproto.EventMaskStructureNotify})
}

// setState adds states to a window, or takes them away.
func (s *Screen) setState(w xproto.Window, add bool, first, second string) {
	action := uint32(0)
	if add {
		action = 1
	}
	s.tell(w, "_NET_WM_STATE", action, uint32(s.atoms[first]), uint32(s.atoms[second]), fromPager)
}

// fromPager says that a person wants it, not the program by itself.
const fromPager = 2

// A state is what a window manager says of a window.
type state struct{ hidden, maximized, fullscreen bool }

func (s *Screen) stateOf(w xproto.Window) (st state, err error) {
	set, err := s.atomsOf(w, "_NET_WM_STATE")
	if err != nil {
		return st, guest.Failf(guest.BadArgument, "there is no window %d any more", w)
	}
	return state{
		hidden:     set[s.atoms["_NET_WM_STATE_HIDDEN"]],
		maximized:  set[s.atoms["_NET_WM_STATE_MAXIMIZED_HORZ"]] && set[s.atoms["_NET_WM_STATE_MAXIMIZED_VERT"]],
		fullscreen: set[s.atoms["_NET_WM_STATE_FULLSCREEN"]],
	}, nil
}

// reach waits until a window is what it was told to be.
func (s *Screen) reach(ctx context.Context, w xproto.Window, what string, is func(state) bool) error {
	if err := s.settleManager(ctx); err != nil {
		return err
	}
	ok, err := s.await(ctx, changeWithin, func() (bool, error) {
		st, err := s.stateOf(w)
		return err == nil && is(st), err
	})
	if err != nil {
		return err
	}
	if !ok {
		return guest.Failf(guest.Unsuccessful, "window %d does not become %s; its program may not allow it", w, what)
	}
	return s.ping(ctx, w, clickWithin)
}

func (s *Screen) activate(ctx context.Context, w xproto.Window) error {
	s.intend(w)
	s.tell(w, "_NET_ACTIVE_WINDOW", fromPager)
	ok, err := s.await(ctx, changeWithin, func() (bool, error) {
		active, err := s.activeID()
		return active == w, err
	})
	if err != nil || ok {
		return err
	}
	if _, err := s.window(int(w)); err != nil {
		return err
	}
	return guest.Failf(guest.Unsuccessful, "window %d does not become active; a dialog may hold the focus", w)
}

// How long a new window is waited for to be active, and its program to answer.
const (
	focusWithin = 2 * time.Second
	readyWithin = 5 * time.Second
)

// Ready implements desktop.Screen.
func (s *Screen) Ready(ctx context.Context, id int) error {
	w := xproto.Window(id)
	_, err := s.await(ctx, focusWithin, func() (bool, error) {
		active, err := s.activeID()
		return active == w, err
	})
	if err != nil {
		return err
	}
	return s.ping(ctx, w, readyWithin)
}

// restore undoes minimizing, full screen and maximizing.
func (s *Screen) restore(ctx context.Context, w xproto.Window) error {
	st, err := s.stateOf(w)
	if err != nil {
		return err
	}
	if !st.hidden { // what is only hidden comes back as it was
		s.setState(w, false, "_NET_WM_STATE_FULLSCREEN", "")
		s.setState(w, false, "_NET_WM_STATE_MAXIMIZED_HORZ", "_NET_WM_STATE_MAXIMIZED_VERT")
	}
	if err := s.activate(ctx, w); err != nil {
		return err
	}
	return s.reach(ctx, w, "restored", func(now state) bool {
		return !now.hidden && (st.hidden || !now.maximized && !now.fullscreen)
	})
}

// closeWithin is how long a program may take to close a window; it may ask the
// person before.
const closeWithin = 1500 * time.Millisecond

// close asks for a window to be closed. That it is still there is no failure:
// its program may ask whether to save.
func (s *Screen) close(ctx context.Context, w xproto.Window) error {
	before, err := s.managed()
	if err != nil {
		return err
	}
	s.tell(w, "_NET_CLOSE_WINDOW", 0, fromPager)
	_, err = s.await(ctx, closeWithin, func() (bool, error) {
		now, err := s.managed()
		asks := slices.ContainsFunc(now, func(id xproto.Window) bool { return !slices.Contains(before, id) })
		return asks || !slices.Contains(now, w), err
	})
	return err
}

// Resize implements desktop.Screen.
func (s *Screen) Resize(ctx context.Context, id, width, height int) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	w, err := s.window(id)
	if err != nil {
		return err
	}
	s.follow(w)
	st, err := s.stateOf(w)
	if err != nil {
		return err
	}
	if st.maximized || st.fullscreen {
		if err := s.restore(ctx, w); err != nil {
			return err
		}
	}
	r, err := s.property(w, "_NET_FRAME_EXTENTS", 4).Reply()
	if err != nil {
		return s.failed(err, "the window's borders")
	}
	e := append(words(r), 0, 0, 0, 0)
	inner := []uint32{uint32(max(width-int(e[0]+e[1]), 1)), uint32(max(height-int(e[2]+e[3]), 1))}
	const hasWidth, hasHeight = 1 << 10, 1 << 11
	s.tell(w, "_NET_MOVERESIZE_WINDOW", hasWidth|hasHeight|fromPager<<12, 0, 0, inner[0], inner[1])
	if err := s.settleManager(ctx); err != nil {
		return err
	}
	return s.sized(ctx, w, width, height)
}

// step is how far from the size that was asked a window may be: some change it
// in steps, as of a character.
const step = 40

// sized checks that a window has about the size it was given.
func (s *Screen) sized(ctx context.Context, w xproto.Window, width, height int) error {
	var now tool.Window
	ok, err := s.await(ctx, changeWithin, func() (bool, error) {
		list := s.describe([]xproto.Window{w})
		if len(list) == 0 {
			return false, guest.Failf(guest.BadArgument, "there is no window %d any more", w)
		}
		now = list[0]
		return near(now.Width, width) && near(now.Height, height), nil
	})
	if err != nil {
		return err
	}
	if !ok {
		return guest.Failf(guest.Unsuccessful, "window %d has %d × %d pixels; its program does not allow %d × %d", w, now.Width, now.Height, width, height)
	}
	return s.ping(ctx, w, clickWithin)
}

func near(a, b int) bool { return a-b < step && b-a < step }
