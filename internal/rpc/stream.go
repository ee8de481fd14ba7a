package rpc

import (
	"io"
	"net/http"
	"sync"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
)

// How much of a tool's answer is held at a time.
const (
	readSize  = 128 << 10
	writeSize = 128 << 10
)

// noBytes is beside the empty text that is the base64 of no bytes. Clients that
// take an empty text for none look here next, and find what decodes to no bytes.
const noBytes = `,"blob":"\n"`

type buffers struct{ in, out []byte }

var bufferPool = sync.Pool{New: func() any {
	return &buffers{make([]byte, readSize), make([]byte, 0, writeSize+readSize)}
}}

// stream answers with head, the reply as the result of a tool, and tail, holding
// no more than a piece of the reply at a time. If the reply breaks off before
// anything was sent, that is the error; later the connection is cut, because
// the client has already been told of success.
func (x *exchange) stream(head []byte, reply *toolReply, tail string) error {
	defer reply.Body.Close()
	b := bufferPool.Get().(*buffers)
	defer bufferPool.Put(b)
	x.Header().Set("Content-Type", "application/json; charset=utf-8")
	out := append(b.out[:0], head...)
	out = append(out, `{"content":[{"type":"text","text":"`...)
	var esc escaper
	empty := true
	for {
		n, err := reply.Body.Read(b.in)
		empty = empty && n == 0
		out = esc.append(out, b.in[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return x.brokenOff(err)
		}
		if len(out) < writeSize {
			continue
		}
		if _, err := x.Write(out); err != nil {
			return x.brokenOff(err)
		}
		out = out[:0]
	}
	out = esc.close(out)
	out = append(out, '"')
	if empty && reply.base64 && !reply.Failed {
		out = append(out, noBytes...)
	}
	out = append(out, `}],"isError":`...)
	out = append(out, boolText(reply.Failed)...)
	out = append(append(out, '}'), tail...)
	_, err := x.Write(out)
	x.note(err)
	return nil
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func (x *exchange) note(err error) {
	if err != nil {
		x.cause = err
	}
}

// brokenOff reports an answer that cannot be finished.
func (x *exchange) brokenOff(err error) error {
	if x.status == 0 {
		return agentbay.Wrap(err, agentbay.Unavailable, "the tool's answer broke off: %s", agentbay.MessageOf(err))
	}
	x.cause = err
	panic(http.ErrAbortHandler)
}

// An escaper writes text, given in pieces, as the inside of a JSON string. What
// is not UTF-8 becomes U+FFFD.
type escaper struct {
	rest [utf8.UTFMax]byte // the beginning of a character cut in two
	n    int
}

const hex = "0123456789abcdef"

// plain is the bytes that stand for themselves in a JSON string.
var plain = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// append adds the piece p, escaped, to dst.
func (e *escaper) append(dst, p []byte) []byte {
	for e.n > 0 && len(p) > 0 {
		e.rest[e.n], p = p[0], p[1:]
		e.n++
		if !utf8.FullRune(e.rest[:e.n]) {
			continue
		}
		whole := e.rest
		n := e.n
		e.n = 0
		dst = e.append(dst, whole[:n])
	}
	start := 0
	for i := 0; i < len(p); {
		c := p[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendEscape(append(dst, p[start:i]...), c)
			i++
			start = i
			continue
		}
		if !utf8.FullRune(p[i:]) {
			dst = append(dst, p[start:i]...)
			e.n = copy(e.rest[:], p[i:])
			return dst
		}
		r, size := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, p[start:i]...), "\uFFFD"...)
			start = i + 1
		}
		i += size
	}
	return append(dst, p[start:]...)
}

// close ends the text. A character that was cut off is U+FFFD.
func (e *escaper) close(dst []byte) []byte {
	for range e.n {
		dst = append(dst, "\uFFFD"...)
	}
	e.n = 0
	return dst
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
