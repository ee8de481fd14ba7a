package blob

import (
	"context"
	"errors"
	"io"

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

// Exact returns a reader of the size bytes of r, for drivers to read in Put. It
// fails, before it has given the last of them, if r has more or fewer, and when
// ctx is done. If r can seek, so can it, and a driver may start over.
func Exact(ctx context.Context, r io.Reader, size int64) io.Reader {
	e := &exact{ctx: ctx, r: r, size: size, left: size}
	if s, ok := r.(io.Seeker); ok {
		if start, err := s.Seek(0, io.SeekCurrent); err == nil {
			return &exactSeeker{exact: e, s: s, start: start}
		}
	}
	return e
}

type exact struct {
	ctx  context.Context
	r    io.Reader
	size int64
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if e.left == 0 {
		return 0, e.end()
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if e.left == 0 && (err == nil || errors.Is(err, io.EOF)) {
		return e.last(n)
	}
	if errors.Is(err, io.EOF) {
		return n, agentbay.Errorf(agentbay.Invalid, "the blob ended after %d of %d bytes; put it again with the size it has", e.size-e.left, e.size)
	}
	return n, err
}

// last hands out the last n bytes, if they are the last.
func (e *exact) last(n int) (int, error) {
	if err := e.end(); !errors.Is(err, io.EOF) {
		return 0, err
	}
	return n, io.EOF
}

// end is io.EOF if r ends here.
func (e *exact) end() error {
	var b [1]byte
	_, err := io.ReadFull(e.r, b[:])
	if err == nil {
		return agentbay.Errorf(agentbay.Invalid, "the blob has more than %d bytes; put it again with the size it has", e.size)
	}
	return err
}

type exactSeeker struct {
	*exact
	s     io.Seeker
	start int64 // where the blob begins in s
}

func (e *exactSeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += e.size - e.left
	case io.SeekEnd:
		offset += e.size
	}
	if offset < 0 || offset > e.size {
		return 0, agentbay.Errorf(agentbay.Internal, "seek to %d in a blob of %d bytes", offset, e.size)
	}
	if _, err := e.s.Seek(e.start+offset, io.SeekStart); err != nil {
		return 0, err
	}
	e.left = e.size - offset
	return offset, nil
}
