package rpc

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/agentbay/agentbay"
)

// A budget bounds the bytes of all requests that are held at one time.
type budget struct {
	max  int64
	used atomic.Int64
}

// take reserves n bytes, or reports that there are not as many left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// How fast a body must come: within patience, and a little longer for each byte.
const (
	patience = 30 * time.Second
	slowest  = 32 << 10 // bytes a second
)

// readBody reads the request's body of at most max bytes. What it holds is on
// the budget until done is called.
//
// Invalid: the body is too long, or came too slowly.
// Exhausted: the server holds too much already.
func (d *Door) readBody(x *exchange, max int64) (body []byte, done func(), err error) {
	var held int64
	defer func() {
		if err != nil {
			d.held.give(held)
		}
	}()
	in := http.MaxBytesReader(x, x.r.Body, max)
	rc := http.NewResponseController(x.ResponseWriter)
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	for {
		if len(body) == cap(body) {
			size := nextSize(int64(cap(body)), x.r.ContentLength)
			if !d.held.take(size - held) {
				return nil, nil, agentbay.Errorf(agentbay.Exhausted, "the server is busy with other large requests; try again in a moment")
			}
			held = size
			body = append(make([]byte, 0, size), body...)
		}
		// Some writers, as in tests, have no deadlines; those of a server do.
		_ = rc.SetReadDeadline(x.start.Add(patience + time.Duration(len(body))*time.Second/slowest))
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, func() { d.held.give(held) }, nil
		}
		if err != nil {
			return nil, nil, bodyError(err, max)
		}
	}
}

// nextSize is how large a buffer is to be after one of size. It grows as bytes
// arrive, not as they are announced, but not past what was announced.
func nextSize(size, announced int64) int64 {
	next := max(4096, 2*size)
	if announced >= size && announced < next {
		return announced + 1 // one more, to see the end
	}
	return next
}

func bodyError(err error, max int64) error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return agentbay.Errorf(agentbay.Invalid, "the request is longer than %d bytes; send less at a time", max)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return agentbay.Wrap(err, agentbay.Invalid, "the request came too slowly")
	}
	return agentbay.Wrap(err, agentbay.Invalid, "the request could not be read to its end")
}
