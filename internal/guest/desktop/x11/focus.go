//go:build linux

package x11

import (
	"slices"

	"github.com/jezek/xgb/xproto"
)

// A focus is the focus mode: while it is on, a window that is new does not keep
// the focus that it takes when it appears.
type focus struct {
	on    bool
	last  xproto.Window   // that had the focus, and may
	known []xproto.Window // that may have it
}

// FocusMode implements desktop.Screen.
func (s *Screen) FocusMode(on bool) {
	known, _ := s.managed()
	last, _ := s.activeID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.focus = focus{on, last, known}
}

// intend says that a window is to have the focus.
func (s *Screen) intend(w xproto.Window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.focus.known = append(s.focus.known, w)
}

// guardFocus gives the focus back if a new window has taken it. It does so once:
// who then clicks on that window wants it.
func (s *Screen) guardFocus() {
	active, err := s.activeID()
	if err != nil || active == 0 {
		return
	}
	s.mu.Lock()
	back := s.focus.last
	steals := s.focus.on && back != 0 && !slices.Contains(s.focus.known, active)
	if steals {
		s.focus.known = append(s.focus.known, active)
	} else {
		s.focus.last = active
	}
	s.mu.Unlock()
	if steals {
		s.tell(back, "_NET_ACTIVE_WINDOW", fromPager)
	}
}
