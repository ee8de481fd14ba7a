// Package control is who is at a session's screen: the people who look at it, the
// one of them who has taken control, and what the agent has asked them for.
//
// While somebody has control, nobody else acts: not the agent, and not the other
// viewers. Control ends when it is handed back, and when who has it has been gone
// for a while.
package control

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
)

// Grace is how long who has control may be gone, as when the page is loaded anew.
const Grace = 10 * time.Second

// Bounds of what is kept of one session.
const (
	maxViewers = 50
	maxHelp    = 20   // requests, of which the oldest that are done give way
	maxNote    = 4000 // bytes of a message or note
)

// A Viewer is a person at a page, by a name that only that page knows.
type Viewer struct {
	ID      string
	Address string // where they are, for the audit
	MayAct  bool   // else they only watch
}

// An Event is what is audited: somebody took control or gave it up.
type Event struct {
	At      time.Time
	Kind    string // taken, handed back, or gone
	Address string
	Note    string        // what was said when it was handed back
	Held    time.Duration // how long they had it
}

// A Desk is one session's screen. The zero Desk is ready; Audit may be set before
// it is used.
type Desk struct {
	Audit func(Event) // is told of each event; may be nil

	mu      sync.Mutex
	viewers map[string]*seat // by ID; guarded by mu
	holder  *seat            // who has control; nil means nobody; guarded by mu
	since   time.Time        // when they took it; guarded by mu
	help    []agentbay.Help  // newest last; guarded by mu
	asked   int              // requests so far; guarded by mu
	filmed  bool             // it is recorded; guarded by mu
	over    error            // why the session has ended; guarded by mu
	changed chan struct{}    // closed when something of this changes; guarded by mu
}

// A seat is a viewer, on any number of connections.
type seat struct {
	Viewer
	connections int
	leaving     *time.Timer // ends their control; nil unless they have it and are gone
}

// SetRecorded says whether the screen or its pages are being recorded, which viewers are told.
func (d *Desk) SetRecorded(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.filmed != on {
		d.filmed = on
		d.tellLocked()
	}
}

// Join seats a viewer until leave is called.
//
// Exhausted: there are too many.
func (d *Desk) Join(v Viewer) (leave func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.viewers[v.ID]
	if s == nil {
		if len(d.viewers) >= maxViewers {
			return nil, agentbay.Errorf(agentbay.Exhausted, "%d people look at this session already; close another page first", maxViewers)
		}
		if d.viewers == nil {
			d.viewers = map[string]*seat{}
		}
		s = &seat{Viewer: v}
		d.viewers[v.ID] = s
	}
	s.connections++
	if s.leaving != nil {
		s.leaving.Stop()
		s.leaving = nil
	}
	d.tellLocked()
	return sync.OnceFunc(func() { d.leave(s) }), nil
}

func (d *Desk) leave(s *seat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.connections--; s.connections > 0 {
		return
	}
	if d.holder == s {
		s.leaving = time.AfterFunc(Grace, func() { d.gone(s) })
		return
	}
	delete(d.viewers, s.ID)
	d.tellLocked()
}

// gone takes control from who has not come back.
func (d *Desk) gone(s *seat) {
	d.mu.Lock()
	if s.connections > 0 || d.holder != s {
		d.mu.Unlock()
		return
	}
	delete(d.viewers, s.ID)
	e := d.freeLocked("gone", "")
	d.mu.Unlock()
	d.audit(e)
}

// Take gives a viewer control.
//
// Denied: they may only watch.
// Conflict: somebody else has it.
func (d *Desk) Take(id string) error {
	d.mu.Lock()
	s := d.viewers[id]
	switch {
	case s == nil:
		d.mu.Unlock()
		return agentbay.Errorf(agentbay.Conflict, "the page is not connected; try again in a moment")
	case !s.MayAct:
		d.mu.Unlock()
		return agentbay.Errorf(agentbay.Denied, "this link is for watching only")
	case d.holder == s:
		d.mu.Unlock()
		return nil
	case d.holder != nil:
		d.mu.Unlock()
		return agentbay.Errorf(agentbay.Conflict, "somebody else has control; ask them to hand it back")
	}
	d.holder, d.since = s, time.Now()
	for i := range d.help {
		if d.help[i].State == agentbay.HelpOpen {
			d.help[i].State = agentbay.HelpTaken
		}
	}
	d.tellLocked()
	e := Event{At: d.since, Kind: "taken", Address: s.Address}
	d.mu.Unlock()
	d.audit(e)
	return nil
}

// HandBack ends a viewer's control; the note is for the agent. Who has none does
// no harm.
func (d *Desk) HandBack(id, note string) {
	d.mu.Lock()
	if d.holder == nil || d.holder.ID != id {
		d.mu.Unlock()
		return
	}
	s := d.holder
	e := d.freeLocked("handed back", clip(note))
	if s.connections == 0 {
		delete(d.viewers, s.ID)
	}
	d.mu.Unlock()
	d.audit(e)
}

// freeLocked ends the control that somebody has, and what was asked of them.
func (d *Desk) freeLocked(kind, note string) Event {
	e := Event{At: time.Now(), Kind: kind, Address: d.holder.Address, Note: note, Held: time.Since(d.since)}
	if d.holder.leaving != nil {
		d.holder.leaving.Stop()
		d.holder.leaving = nil
	}
	d.holder = nil
	for i, h := range d.help {
		if h.State != agentbay.HelpTaken {
			continue
		}
		d.help[i].State, d.help[i].Note = agentbay.HelpDone, note
		if kind == "gone" {
			d.help[i].State = agentbay.HelpOpen // nobody has said that it is done
		}
	}
	d.tellLocked()
	return e
}

func (d *Desk) audit(e Event) {
	if d.Audit != nil {
		d.Audit(e)
	}
}

// May reports whether what a viewer does with mouse and keyboard counts.
func (d *Desk) May(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.viewers[id]
	return s != nil && s.MayAct && (d.holder == nil || d.holder == s)
}

// Held returns since when somebody has control; held is false if nobody has.
func (d *Desk) Held() (since time.Time, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, d.holder != nil
}

// Free waits until nobody has control.
func (d *Desk) Free(ctx context.Context) error {
	for {
		changed := d.Changed()
		if _, held := d.Held(); !held {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ask asks the people at the screen for help, for as long as wait says if it is not
// 0. It is done when one of them has taken control and handed it back, or has
// answered it.
func (d *Desk) Ask(kind agentbay.HelpKind, message string, wait time.Duration) agentbay.Help {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	h := agentbay.Help{
		ID: "help-" + strconv.Itoa(d.asked), Kind: kind, Message: clip(message), State: agentbay.HelpOpen, AskedAt: time.Now(), Wait: wait,
	}
	if d.holder != nil {
		h.State = agentbay.HelpTaken
	}
	if len(d.help) == maxHelp {
		d.help = slices.Delete(d.help, 0, 1)
	}
	d.help = append(d.help, h)
	d.tellLocked()
	return h
}

// Answer says that what was asked for is done, whoever has control.
//
// NotFound: nothing was asked for by that ID, or it was withdrawn.
func (d *Desk) Answer(id, note string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.indexLocked(id)
	if i < 0 {
		return agentbay.Errorf(agentbay.NotFound, "no help was asked for as %q, or it is no longer wanted", id)
	}
	if h := &d.help[i]; h.State != agentbay.HelpDone {
		h.State, h.Note = agentbay.HelpDone, clip(note)
		d.tellLocked()
	}
	return nil
}

// Withdraw takes a request back that nobody has done anything about in time.
func (d *Desk) Withdraw(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := d.indexLocked(id); i >= 0 {
		d.help = slices.Delete(d.help, i, i+1)
		d.tellLocked()
	}
}

func (d *Desk) indexLocked(id string) int {
	return slices.IndexFunc(d.help, func(h agentbay.Help) bool { return h.ID == id })
}

// Succeed takes over from another desk of the same session what was asked for.
func (d *Desk) Succeed(old *Desk) {
	st := old.State()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.filmed, d.help = st.Filmed, st.Help
	for i, h := range d.help {
		if h.State == agentbay.HelpTaken {
			d.help[i].State = agentbay.HelpOpen // who had taken control is gone
		}
	}
	old.mu.Lock()
	d.asked = old.asked
	old.mu.Unlock()
}

// End says that the session has ended, and why.
func (d *Desk) End(why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over == nil {
		d.over = why
		d.tellLocked()
	}
}

// Changed returns a channel that is closed when what State returns has changed.
func (d *Desk) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.changed
}

func (d *Desk) tellLocked() {
	if d.changed != nil {
		close(d.changed)
	}
	d.changed = make(chan struct{})
}

// A State is what a viewer is told.
type State struct {
	Viewers int
	Holder  string // ID of who has control; empty if nobody has
	Since   time.Time
	Help    []agentbay.Help
	Filmed  bool  // it is recorded
	Over    error // why the session has ended
}

// State is how things are.
func (d *Desk) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{Help: slices.Clone(d.help), Filmed: d.filmed, Over: d.over}
	for _, v := range d.viewers {
		if v.connections > 0 {
			s.Viewers++
		}
	}
	if d.holder != nil {
		s.Holder, s.Since = d.holder.ID, d.since
	}
	return s
}

// clip is the beginning of a text, in whole characters.
func clip(s string) string {
	if len(s) <= maxNote {
		return s
	}
	n := maxNote
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
