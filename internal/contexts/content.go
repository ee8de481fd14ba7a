package contexts

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// A content is a file that is cut into chunks while they are hashed.
type content struct {
	w       *Writer
	ctx     context.Context
	hashing sync.WaitGroup
	cuts    []*fresh
}

// A fresh extent is one whose hash may not be known yet.
type fresh struct {
	Extent
	hole bool
}

// unlimited is for content that has no known size.
const unlimited = -1

// read reads f, at most size bytes of it, or all if size is negative.
func (c *content) read(f io.Reader, size int64) error {
	if file, ok := f.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			return c.file(file, info, size)
		}
	}
	return c.chunks(f, max(size, unlimited))
}

// file reads a file, and skips its holes.
func (c *content) file(f *os.File, info os.FileInfo, size int64) error {
	if size < 0 || size > info.Size() {
		size = info.Size()
	}
	if !sparse(info) {
		return c.chunks(io.NewSectionReader(f, 0, size), size)
	}
	for offset := int64(0); offset < size; {
		data, end := nextData(f, offset, size)
		c.hole(data - offset)
		if err := c.chunks(io.NewSectionReader(f, data, end-data), end-data); err != nil {
			return err
		}
		offset = end
	}
	return nil
}

// sparse reports whether a file takes less room than its content would.
func sparse(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Size() >= minHole && stat.Blocks*512 < info.Size()
}

// minHole is how long a hole must be: many short ones would make long lists.
const minHole = 256 << 10

// nextData returns where the next data of f begins, from offset on, and where it
// ends; both are size if there is none.
func nextData(f *os.File, offset, size int64) (data, end int64) {
	const seekData, seekHole = 3, 4
	data, err := f.Seek(offset, seekData)
	if errors.Is(err, syscall.ENXIO) {
		return size, size
	}
	if err != nil || data-offset < minHole {
		data = offset
	}
	for end = data; end < size; {
		var next int64
		if end, err = f.Seek(end, seekHole); err != nil {
			return min(data, size), size
		}
		if next, err = f.Seek(end, seekData); err != nil || next-end >= minHole {
			break
		}
		end = next
	}
	if end <= offset { // it changes under our eyes
		return offset, size
	}
	return min(data, size), min(end, size)
}

// windowSize is how much of a large file is in memory at once. Chunks stay in
// their window until they are stored.
const windowSize = 4 << 20

// chunks reads f to its end, or to limit.
func (c *content) chunks(f io.Reader, limit int64) error {
	window := newBuffer(0)
	defer func() { window.free() }()
	more := limit != 0
	for rest := window.b; ; {
		n := cut(rest)
		if n == len(rest) && n < maxChunk && more {
			next, got, err := refill(f, rest, limit)
			window.free()
			window, rest = next, next.b
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			if limit > 0 {
				limit -= got
			}
			more = err == nil && limit != 0
			continue
		}
		if n == 0 {
			return nil
		}
		if err := c.chunk(rest[:n], window); err != nil {
			return err
		}
		rest = rest[n:]
	}
}

// refill returns a new window that begins with rest, and how much was read.
func refill(f io.Reader, rest []byte, limit int64) (*buffer, int64, error) {
	want := windowSize - len(rest)
	if limit >= 0 {
		want = int(min(int64(want), limit))
	}
	window := newBuffer(len(rest) + want)
	n, err := io.ReadFull(f, window.b[copy(window.b, rest):])
	window.b = window.b[:len(rest)+n]
	return window, int64(n), err
}

// chunk has a part of the window hashed and stored.
func (c *content) chunk(b []byte, window *buffer) error {
	if isZero(b) {
		c.hole(int64(len(b)))
		return nil
	}
	select {
	case c.w.hashing <- struct{}{}:
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	p := &fresh{Extent: Extent{Size: int64(len(b))}}
	c.cuts = append(c.cuts, p)
	window.hold()
	c.hashing.Go(func() {
		defer func() { <-c.w.hashing }()
		p.Chunk = hash(b)
		c.w.add(piece{p.Chunk, b, window}) // a failure is the Writer's
	})
	return c.w.failure()
}

// hole adds zeros to the content.
func (c *content) hole(size int64) {
	if size == 0 {
		return
	}
	if n := len(c.cuts); n > 0 && c.cuts[n-1].hole {
		c.cuts[n-1].Size += size
		return
	}
	c.cuts = append(c.cuts, &fresh{Extent{Size: size}, true})
}

// extents returns the content, once all is hashed, and its length.
func (c *content) extents() ([]Extent, int64) {
	if len(c.cuts) == 0 {
		return nil, 0
	}
	extents := make([]Extent, len(c.cuts))
	size := int64(0)
	for i, p := range c.cuts {
		extents[i] = p.Extent
		size += p.Size
	}
	return extents, size
}
