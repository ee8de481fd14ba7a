//go:build linux

package x11

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/desktop"
)

// A keyboard is what the keys of the X server give. Characters that are on no
// key are put on spare ones, for a while.
type keyboard struct {
	first  xproto.Keycode
	width  int                     // keysyms a key
	table  []xproto.Keysym         // width for each key from first
	places map[xproto.Keysym]place // of what is on keys by itself
	spare  []xproto.Keycode        // keys that nobody misses
	lent   map[xproto.Keysym]int   // index into spare
	held   map[xproto.Keycode]bool // by Press
}

// A place is where a character is: on a key, alone or with Shift.
type place struct {
	code  xproto.Keycode
	shift bool
}

// Keysyms that have no character, from X11's keysymdef.h.
const (
	noSymbol   = 0
	vendorKeys = 0x1008ff00 // XF86…: keys for volume, launching and so on
	unicodeBit = 0x01000000
)

// keysyms is the keysym of each key that is not a character.
var keysyms = map[desktop.Key]xproto.Keysym{
	"ctrl": 0xffe3, "ctrl_r": 0xffe4, "shift": 0xffe1, "shift_r": 0xffe2, "alt": 0xffe9, "alt_r": 0xffea,
	"super": 0xffeb, "super_r": 0xffec, "menu": 0xff67, "return": 0xff0d, "tab": 0xff09, "escape": 0xff1b,
	"backspace": 0xff08, "delete": 0xffff, "insert": 0xff63, "home": 0xff50, "end": 0xff57, "pageup": 0xff55,
	"pagedown": 0xff56, "up": 0xff52, "down": 0xff54, "left": 0xff51, "right": 0xff53, "capslock": 0xffe5,
	"numlock": 0xff7f, "scrolllock": 0xff14, "print": 0xff61, "pause": 0xff13,
}

// keysymOf is the keysym of a key.
func keysymOf(k desktop.Key) xproto.Keysym {
	if sym, ok := keysyms[k]; ok {
		return sym
	}
	if len(k) > 1 && k[0] == 'f' && k[1] <= '9' {
		n := 0
		for _, c := range k[1:] {
			n = 10*n + int(c-'0')
		}
		return 0xffbe + xproto.Keysym(n-1) // F1 and up
	}
	r, _ := utf8.DecodeRuneInString(string(k))
	return symbolOf(r)
}

// symbolOf is the keysym of a character, by the rule of keysymdef.h.
func symbolOf(r rune) xproto.Keysym {
	switch {
	case r == '\n':
		return keysyms["return"]
	case r == '\t':
		return keysyms["tab"]
	case r >= 0x20 && r <= 0x7e || r >= 0xa0 && r <= 0xff:
		return xproto.Keysym(r)
	}
	return unicodeBit | xproto.Keysym(r)
}

// read learns what is on the keys.
func (k *keyboard) read(x *xgb.Conn) error {
	setup := xproto.Setup(x)
	k.first = setup.MinKeycode
	count := int(setup.MaxKeycode) - int(setup.MinKeycode) + 1
	r, err := xproto.GetKeyboardMapping(x, k.first, byte(count)).Reply()
	if err != nil {
		return err
	}
	k.width, k.table = int(r.KeysymsPerKeycode), r.Keysyms
	k.places, k.lent, k.held = map[xproto.Keysym]place{}, map[xproto.Keysym]int{}, map[xproto.Keycode]bool{}
	k.spare = nil
	for i := range len(k.table) / max(k.width, 1) {
		k.learn(k.first+xproto.Keycode(i), k.table[i*k.width:][:k.width])
	}
	return nil
}

// learn takes in what one key gives: alone, with Shift, and in other ways.
func (k *keyboard) learn(code xproto.Keycode, syms []xproto.Keysym) {
	if !slices.ContainsFunc(syms, func(s xproto.Keysym) bool { return s != noSymbol && s < vendorKeys }) {
		k.spare = append(k.spare, code)
		return
	}
	for level, sym := range syms[:min(2, len(syms))] {
		if _, ok := k.places[sym]; !ok && sym != noSymbol {
			k.places[sym] = place{code, level == 1}
		}
	}
}

// find is where a keysym is, if it is on a key.
func (k *keyboard) find(sym xproto.Keysym) (place, bool) {
	if p, ok := k.places[sym]; ok {
		return p, true
	}
	i, ok := k.lent[sym]
	if !ok {
		return place{}, false
	}
	return place{code: k.spare[i]}, true
}

// fit is how many of the characters can be typed without giving up keys, with
// those that must be lent.
func (k *keyboard) fit(text []rune, most int) (n int, lend []xproto.Keysym) {
	for _, r := range text[:min(most, len(text))] {
		sym := symbolOf(r)
		if _, ok := k.find(sym); !ok && !slices.Contains(lend, sym) {
			if len(k.lent)+len(lend) == len(k.spare) {
				break
			}
			lend = append(lend, sym)
		}
		n++
	}
	return n, lend
}

// lend puts keysyms on spare keys, in one request. What was typed before must
// have been read by who reads it.
func (k *keyboard) lend(x *xgb.Conn, syms []xproto.Keysym) {
	if len(syms) == 0 {
		return
	}
	low, high := len(k.lent), len(k.lent)+len(syms)-1
	for _, sym := range syms {
		i := len(k.lent)
		k.lent[sym] = i
		row := k.table[int(k.spare[i]-k.first)*k.width:][:k.width]
		for level := range row {
			row[level] = noSymbol
			if level < 2 { // Shift makes no difference
				row[level] = sym
			}
		}
	}
	from, to := k.spare[low], k.spare[high]
	rows := k.table[int(from-k.first)*k.width : (int(to-k.first)+1)*k.width]
	xproto.ChangeKeyboardMapping(x, byte(int(to)-int(from)+1), from, byte(k.width), rows)
}

// giveUp makes all spare keys spare again.
func (k *keyboard) giveUp() { clear(k.lent) }

// A piece of text is typed before its program is waited for, so that it is never
// far behind.
const piece = 100

// Type implements desktop.Screen.
func (s *Screen) Type(ctx context.Context, text string) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.unlockCaps(); err != nil {
		return err
	}
	for rest := []rune(text); len(rest) > 0; {
		n, lend := s.keys.fit(rest, piece)
		if n == 0 {
			if len(s.keys.lent) == 0 {
				return guest.Failf(guest.Unsuccessful, "the keyboard has no key to type %q with", rest[0])
			}
			s.keys.giveUp()
			continue
		}
		s.keys.lend(s.x, lend)
		s.strokes(rest[:n])
		rest = rest[n:]
		if err := s.settle(ctx, typingWithin); err != nil {
			return err
		}
	}
	return nil
}

// strokes types characters that are on keys. Shift stays down where it can; if
// it is held, it is lifted meanwhile, so that text is what it says.
func (s *Screen) strokes(text []rune) {
	shift := s.keys.places[keysyms["shift"]].code
	if s.keys.held[shift] {
		s.stroke(shift, false)
		defer s.stroke(shift, true)
	}
	down := false
	for _, r := range text {
		p, _ := s.keys.find(symbolOf(r))
		if p.shift != down {
			s.stroke(shift, p.shift)
			down = p.shift
		}
		s.stroke(p.code, true)
		s.stroke(p.code, false)
	}
	if down {
		s.stroke(shift, false)
	}
}

func (s *Screen) stroke(code xproto.Keycode, down bool) {
	kind := byte(xproto.KeyRelease)
	if down {
		kind = xproto.KeyPress
	}
	s.fake(kind, byte(code), 0, 0)
}

// unlockCaps switches Caps Lock off, which a person may have left on.
func (s *Screen) unlockCaps() error {
	r, err := xproto.QueryPointer(s.x, s.root).Reply()
	if err != nil {
		return s.failed(err, "the keyboard")
	}
	if p, ok := s.keys.find(keysyms["capslock"]); ok && r.Mask&xproto.ModMaskLock != 0 {
		s.stroke(p.code, true)
		s.stroke(p.code, false)
	}
	return nil
}

// Press implements desktop.Screen.
func (s *Screen) Press(ctx context.Context, keys []desktop.Key, hold bool) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	codes, err := s.codesOf(keys)
	if err != nil {
		return err
	}
	for _, c := range codes {
		s.stroke(c, true)
		s.keys.held[c] = s.keys.held[c] || hold
	}
	if !hold {
		s.lift(codes)
	}
	return s.settle(ctx, clickWithin)
}

// Release implements desktop.Screen.
func (s *Screen) Release(ctx context.Context, keys []desktop.Key) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	codes, err := s.codesOf(keys)
	if err != nil {
		return err
	}
	s.lift(codes)
	return s.settle(ctx, clickWithin)
}

// lift releases keys, the last first.
func (s *Screen) lift(codes []xproto.Keycode) {
	for _, c := range slices.Backward(codes) {
		s.stroke(c, false)
		delete(s.keys.held, c)
	}
}

// codesOf is the keys to press for some keys by name: characters that need Shift
// bring it with them.
func (s *Screen) codesOf(keys []desktop.Key) (codes []xproto.Keycode, err error) {
	add := func(c xproto.Keycode) {
		if !slices.Contains(codes, c) {
			codes = append(codes, c)
		}
	}
	var lend []xproto.Keysym
	for _, k := range keys {
		if _, ok := s.keys.find(keysymOf(k)); !ok {
			lend = append(lend, keysymOf(k))
		}
	}
	if len(s.keys.lent)+len(lend) > len(s.keys.spare) {
		s.keys.giveUp()
	}
	if len(lend) > len(s.keys.spare) {
		return nil, guest.Failf(guest.Unsuccessful, "the keyboard has no key %q", keys[0])
	}
	s.keys.lend(s.x, lend)
	for _, k := range keys {
		p, _ := s.keys.find(keysymOf(k))
		if p.shift {
			add(s.keys.places[keysyms["shift"]].code)
		}
		add(p.code)
	}
	return codes, nil
}
