package tool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"
	"unicode/utf8"
)

// longText is from how many bytes on a text is not left to package json.
const longText = 32 << 10

// Unmarshal is [json.Unmarshal], several times as fast for what holds one long
// text that needs no unescaping, as the content of a file in base64.
func Unmarshal(b []byte, into any) error {
	l, ok := lift(b)
	if !ok {
		return json.Unmarshal(b, into)
	}
	v := reflect.ValueOf(into).Elem()
	fresh := reflect.New(v.Type())
	fresh.Elem().Set(v)
	if json.Unmarshal(l.short(), fresh.Interface()) == nil && l.settle(fresh.Elem()) {
		v.Set(fresh.Elem())
		return nil
	}
	return json.Unmarshal(b, into)
}

// Valid is [json.Valid], as fast as [Unmarshal].
func Valid(b []byte) bool {
	if l, ok := lift(b); ok {
		b = l.short()
	}
	return json.Valid(b)
}

// A lifted is JSON whose first long text is looked at apart from the rest.
type lifted struct {
	before, text, after []byte
	name                string // stands for the text; nobody can have written it
}

// lift finds the first long text of b. That strings begin and end at quotes is
// all that must be known to find it; whether b is JSON is for who reads the rest.
func lift(b []byte) (lifted, bool) {
	for at := 0; len(b)-at > longText; {
		quote := bytes.IndexByte(b[at:], '"')
		if quote < 0 {
			break
		}
		start := at + quote + 1
		n := endOfText(b[start:])
		if n < 0 {
			break
		}
		if n > longText && plain(b[start:start+n]) {
			return lifted{b[:start], b[start : start+n], b[start+n:], rand.Text()}, true
		}
		at = start + n + 1
	}
	return lifted{}, false
}

// endOfText is where the quote is that ends a string, -1 if there is none.
func endOfText(b []byte) int {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '"')
		if n < 0 {
			return -1
		}
		at += n
		if slashes := at - len(bytes.TrimRight(b[:at], `\`)); slashes%2 == 0 {
			return at
		}
		at++
	}
}

// plain reports whether text within quotes stands for itself in JSON.
func plain(text []byte) bool {
	if bytes.IndexByte(text, '\\') >= 0 || !utf8.Valid(text) {
		return false
	}
	return !hasControl(text)
}

// hasControl reports whether text has a control character, of which it looks at
// eight at a time: one below 32 borrows from its highest bit.
func hasControl(text []byte) bool {
	const each = 0x0101010101010101
	for ; len(text) >= 8; text = text[8:] {
		word := binary.LittleEndian.Uint64(text)
		if (word-each*' ')&^word&(each<<7) != 0 {
			return true
		}
	}
	return slices.ContainsFunc(text, func(c byte) bool { return c < ' ' })
}

// short is the JSON with the name in place of the text.
func (l lifted) short() []byte {
	return bytes.Join([][]byte{l.before, l.after}, []byte(l.name))
}

// settle puts the text in the place that v has for it, and reports whether
// there is one.
func (l lifted) settle(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		if v.String() != l.name {
			return false
		}
		v.SetString(string(l.text))
		return true
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() && l.settle(field) {
				return true
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if l.settle(v.Index(i)) {
				return true
			}
		}
	}
	return false
}
