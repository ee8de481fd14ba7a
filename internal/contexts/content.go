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
	parts   []*part
}

// A part is an extent whose hash may not be known yet.
type part struct {
	Extent
	hole bool
}

// read reads f, at most size bytes of it, or all if size is negative.
func (c *content) read(f io.Reader, size int64) error {
	if file, ok := f.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			return c.file(file, info, size)
		}
	}
	if size >= 0 {
		f = io.LimitReader(f, size)
	}
	return c.chunks(f)
}

// file reads a file, and skips its holes.
func (c *content) file(f *os.File, info os.FileInfo, size int64) error {
	if size < 0 || size > info.Size() {
		size = info.Size()
	}
	if !sparse(info) {
		return c.chunks(io.NewSectionReader(f, 0, size))
	}
	for offset := int64(0); offset < size; {
		data, end := nextData(f, offset, size)
		c.hole(data - offset)
		if err := c.chunks(io.NewSectionReader(f, data, end-data)); err != nil {
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

// chunks reads to the end of f.
func (c *content) chunks(f io.Reader) error {
	window := newBuffer(2 * maxChunk)
	defer window.free()
	start, end, more := 0, 0, true
	for {
		if more && end-start < maxChunk {
			end = copy(window.b, window.b[start:end])
			start = 0
			n, err := io.ReadFull(f, window.b[end:])
			end += n
			more = err == nil
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
		}
		if start == end {
			return nil
		}
		n := cut(window.b[start:end])
		if err := c.chunk(window.b[start : start+n]); err != nil {
			return err
		}
		start += n
	}
}

// chunk has a part of the window hashed and stored.
func (c *content) chunk(b []byte) error {
	if isZero(b) {
		c.hole(int64(len(b)))
		return nil
	}
	select {
	case c.w.hashing <- struct{}{}:
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	buf := newBuffer(len(b))
	copy(buf.b, b)
	p := &part{Extent: Extent{Size: int64(len(b))}}
	c.parts = append(c.parts, p)
	c.hashing.Go(func() {
		defer func() { <-c.w.hashing }()
		p.Chunk = hash(buf.b)
		c.w.add(p.Chunk, buf) // a failure is the Writer's
	})
	return c.w.failure()
}

// hole adds zeros to the content.
func (c *content) hole(size int64) {
	if size == 0 {
		return
	}
	if n := len(c.parts); n > 0 && c.parts[n-1].hole {
		c.parts[n-1].Size += size
		return
	}
	c.parts = append(c.parts, &part{Extent{Size: size}, true})
}

// extents returns the content, once all is hashed, and its length.
func (c *content) extents() ([]Extent, int64) {
	extents := make([]Extent, len(c.parts))
	size := int64(0)
	for i, p := range c.parts {
		extents[i] = p.Extent
		size += p.Size
	}
	return extents, size
}
