package desktop

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agentbay/agentbay/internal/guest"
)

// A Key is a key by one name: a character that it gives without Shift, or one
// of the names below.
type Key string

// named is every key that is not a character, and F1 to F24, with its other names.
var named = map[Key][]string{
	"ctrl":       {"control", "ctrl_l", "control_l", "lctrl"},
	"ctrl_r":     {"control_r", "rctrl"},
	"shift":      {"shift_l", "lshift"},
	"shift_r":    {"rshift"},
	"alt":        {"alt_l", "lalt", "option"},
	"alt_r":      {"ralt", "altgr", "alt_gr", "iso_level3_shift"},
	"super":      {"super_l", "win", "windows", "cmd", "command", "meta", "meta_l", "os"},
	"super_r":    {"meta_r"},
	"menu":       {"apps", "contextmenu"},
	"return":     {"enter", "kp_enter", "linefeed", "\n", "\r"},
	"tab":        {"\t"},
	"escape":     {"esc"},
	"backspace":  {"back_space", "\b"},
	"delete":     {"del"},
	"insert":     {"ins"},
	"home":       {},
	"end":        {},
	"pageup":     {"page_up", "pgup", "prior"},
	"pagedown":   {"page_down", "pgdn", "pgdown", "next"},
	"up":         {"arrowup", "uparrow"},
	"down":       {"arrowdown", "downarrow"},
	"left":       {"arrowleft", "leftarrow"},
	"right":      {"arrowright", "rightarrow"},
	"capslock":   {"caps_lock", "caps"},
	"numlock":    {"num_lock"},
	"scrolllock": {"scroll_lock"},
	"print":      {"printscreen", "print_screen", "prtsc", "sysrq"},
	"pause":      {"break"},
	" ":          {"space", "spacebar"},
	"-":          {"minus", "hyphen", "subtract"},
	"+":          {"plus", "add"},
	"=":          {"equal", "equals"},
	",":          {"comma"},
	".":          {"period", "dot"},
	"/":          {"slash"},
	"\\":         {"backslash"},
	";":          {"semicolon"},
	":":          {"colon"},
	"'":          {"apostrophe", "quote"},
	"\"":         {"quotedbl"},
	"`":          {"grave", "backquote"},
	"[":          {"bracketleft"},
	"]":          {"bracketright"},
	"<":          {"less"},
	">":          {"greater"},
	"*":          {"asterisk", "multiply"},
}

// keyNames finds a key by any of its names, in lower case.
var keyNames = func() map[string]Key {
	all := map[string]Key{}
	for k, names := range named {
		all[string(k)] = k
		for _, n := range names {
			all[n] = k
		}
	}
	for n := 1; n <= 24; n++ {
		name := "f" + itoa(n)
		all[name] = Key(name)
	}
	return all
}()

// ParseKey finds a key by its name in any case. A letter is its key, in which
// case ever: who wants a capital presses Shift as well.
func ParseKey(name string) (Key, error) {
	lower := strings.ToLower(name)
	if k, ok := keyNames[lower]; ok {
		return k, nil
	}
	if r, n := utf8.DecodeRuneInString(lower); n == len(lower) && r != utf8.RuneError && unicode.IsPrint(r) {
		return Key(lower), nil
	}
	return "", guest.Failf(guest.BadArgument, "there is no key %q; keys are characters, or names such as Ctrl, Shift, Alt, Super, Return, Tab, Escape, BackSpace, Delete, Home, End, PageUp, Up, F5", clip(name))
}

// maxKeys is how many keys may be pressed together.
const maxKeys = 16

func parseKeys(names []string) ([]Key, error) {
	if len(names) == 0 {
		return nil, guest.Failf(guest.BadArgument, "keys is empty; name at least one key")
	}
	if len(names) > maxKeys {
		return nil, guest.Failf(guest.BadArgument, "%d keys at once are too many; at most %d", len(names), maxKeys)
	}
	var keys []Key
	for _, name := range names {
		for _, part := range chord(name) {
			k, err := ParseKey(part)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys, nil
}

// chord takes a combination in one word apart, such as "Ctrl+Shift+t".
func chord(name string) []string {
	if _, ok := keyNames[strings.ToLower(name)]; ok || !strings.Contains(name, "+") || utf8.RuneCountInString(name) < 3 {
		return []string{name}
	}
	if rest, ok := strings.CutSuffix(name, "++"); ok {
		return append(strings.Split(rest, "+"), "+")
	}
	return strings.Split(name, "+")
}
