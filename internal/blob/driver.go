package blob

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/agentbay/agentbay"
)

// CheckPut refuses what cannot be the name and the size of a blob. It is Invalid.
func CheckPut(name string, size int64) error {
	if size < 0 {
		return agentbay.Errorf(agentbay.Invalid, "a blob cannot have %d bytes; put it with the size it has", size)
	}
	return CheckName(name)
}

// Part returns where the part of a blob of size bytes is that [Store.Get] was
// asked for, cut to what there is. An offset below zero is Invalid.
func Part(size, offset, n int64) (from, length int64, err error) {
	if offset < 0 {
		return 0, 0, agentbay.Errorf(agentbay.Invalid, "a blob cannot be read from %d; offsets begin at 0", offset)
	}
	offset = min(offset, size)
	if n < 0 || n > size-offset {
		n = size - offset
	}
	return offset, n, nil
}

// A Source is what a driver reads in Put.
type Source interface {
	io.Reader

	// End ends the source: once it returns, nobody reads r any more, whatever a
	// driver's library still has in its hands. It returns what reading failed
	// with, which is the caller's affair and not the store's, or nil.
	End() error
}

// Exact returns a Source of the size bytes of r. It fails, before it has given
// the last of them, if r has more or fewer, and when ctx is done. If r can seek,
// so can it, and a driver may start over.
//
// The context that it returns is done when ctx is, when the source has failed,
// for there is no use in going on, and when it is ended.
func Exact(ctx context.Context, r io.Reader, size int64) (context.Context, Source) {
	e := &exact{r: r, size: size, left: size}
	e.ctx, e.stop = context.WithCancel(ctx)
	if s, ok := r.(io.Seeker); ok {
		if start, err := s.Seek(0, io.SeekCurrent); err == nil {
			return e.ctx, &exactSeeker{exact: e, s: s, start: start}
		}
	}
	return e.ctx, e
}

type exact struct {
	ctx  context.Context
	stop context.CancelFunc // ends ctx
	size int64

	mu    sync.Mutex
	r     io.Reader // guarded by mu
	left  int64     // guarded by mu
	err   error     // guarded by mu
	ended bool      // guarded by mu
}

func (e *exact) End() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
	e.ended = true
	return e.err
}

func (e *exact) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return 0, io.ErrClosedPipe
	}
	n, err := e.readLocked(p)
	if err != nil && !errors.Is(err, io.EOF) && e.err == nil {
		e.err = err
		e.stop()
	}
	return n, err
}

func (e *exact) readLocked(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = e.r.Read(p)
		e.left -= int64(n)
	}
	ended := errors.Is(err, io.EOF)
	switch {
	case ended && e.left > 0:
		return n, agentbay.Errorf(agentbay.Invalid, "the blob ended after %d of %d bytes; put it again with the size it has", e.size-e.left, e.size)
	case ended || e.left > 0 || err != nil:
		return n, err
	}
	if err := e.atEndLocked(); err != nil {
		return 0, err
	}
	return n, io.EOF
}

// atEndLocked makes sure that r ends here.
func (e *exact) atEndLocked() error {
	var b [1]byte
	_, err := io.ReadFull(e.r, b[:])
	if err == nil {
		return agentbay.Errorf(agentbay.Invalid, "the blob has more than %d bytes; put it again with the size it has", e.size)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type exactSeeker struct {
	*exact
	s     io.Seeker
	start int64 // where the blob begins in s
}

func (e *exactSeeker) Seek(offset int64, whence int) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += e.size - e.left
	case io.SeekEnd:
		offset += e.size
	}
	if offset < 0 || offset > e.size {
		return 0, agentbay.Errorf(agentbay.Internal, "seek to %d in a blob of %d bytes", offset, e.size)
	}
	if e.ended {
		return 0, io.ErrClosedPipe
	}
	if _, err := e.s.Seek(e.start+offset, io.SeekStart); err != nil {
		return 0, err
	}
	e.left = e.size - offset
	return offset, nil
}
