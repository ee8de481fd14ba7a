package guest

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Clip is the beginning of a text, of so many bytes at most, with a sign that there
// was more.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// ValidUTF8 reads r with each byte that is not part of UTF-8 replaced by U+FFFD,
// however the bytes are cut into reads.
func ValidUTF8(r io.Reader) io.Reader { return &validReader{r: r} }

type validReader struct {
	r     io.Reader
	err   error   // what r said at last
	held  [3]byte // the start of a character that is not whole yet
	nHeld int
	out   []byte  // checked, not yet read
	small [8]byte // read into instead of a smaller buffer of the caller
}

// Read reads into p and checks it there; only what needs repair is copied.
func (v *validReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(v.out) == 0 {
		if v.err != nil {
			return 0, v.err
		}
		if len(p) < len(v.small) {
			v.out = appendValid(nil, v.fill(v.small[:]))
			continue
		}
		b := v.fill(p)
		if len(b) > 0 && utf8.Valid(b) {
			return len(b), nil
		}
		v.out = appendValid(nil, b)
	}
	n := copy(p, v.out)
	v.out = v.out[n:]
	return n, nil
}

// fill reads once into buf and returns the whole characters of it.
func (v *validReader) fill(buf []byte) []byte {
	n := copy(buf, v.held[:v.nHeld])
	m, err := v.r.Read(buf[n:])
	v.err = err
	b := buf[:n+m]
	whole := len(b)
	if err == nil {
		whole -= unfinished(b)
	}
	v.nHeld = copy(v.held[:], b[whole:])
	return b[:whole]
}

// unfinished is how many bytes at the end of b may be the start of a character.
func unfinished(b []byte) int {
	for i := 1; i <= min(len(b), utf8.UTFMax-1); i++ {
		if !utf8.RuneStart(b[len(b)-i]) {
			continue
		}
		if utf8.FullRune(b[len(b)-i:]) {
			return 0
		}
		return i
	}
	return 0
}

// appendValid appends b with what is not UTF-8 replaced.
func appendValid(dst, b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}
