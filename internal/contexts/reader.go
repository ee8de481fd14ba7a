package contexts

import (
	"context"
	"errors"
	"io"
	"os"
	"sort"
	"sync"

	"github.com/agentbay/agentbay"
)

// readAhead is how much of a file is fetched at once, and again ahead of what is
// read.
const readAhead = 4 << 20

// Open returns the content of a file. Nothing is read before it is asked for.
// While a Reader is open nothing is collected; it must be closed.
func (r *Repo) Open(ctx context.Context, e Entry) (*Reader, error) {
	if e.Kind != File || e.check() != nil {
		return nil, agentbay.Errorf(agentbay.Invalid, "%q is not a file that can be read", e.Path)
	}
	if err := r.gate.enter(ctx); err != nil {
		return nil, err
	}
	return r.reader(ctx, e), nil
}

// reader must be called within the gate, which the Reader leaves.
func (r *Repo) reader(ctx context.Context, e Entry) *Reader {
	ctx, stop := context.WithCancel(ctx)
	f := &Reader{repo: r, ctx: ctx, stop: stop, entry: e, ends: make([]int64, len(e.Extents))}
	end := int64(0)
	for i, x := range e.Extents {
		end += x.Size
		f.ends[i] = end
	}
	return f
}

// A Reader reads the content of a file, every byte of it checked against its
// hash. It is not for concurrent use.
//
// Internal: content is damaged or missing; the message names the path.
type Reader struct {
	repo   *Repo
	ctx    context.Context // of the Open
	stop   context.CancelFunc
	closed sync.Once
	entry  Entry
	ends   []int64 // where each extent ends
	offset int64   // of the next Read

	have map[ID][]byte // what was fetched last
	next int           // the extent behind that
	more chan fetched  // what is being fetched ahead, or nil
}

// fetched is what a fetch brought.
type fetched struct {
	chunks map[ID][]byte
	next   int // the extent behind them
	err    error
}

// Size returns the length of the content.
func (f *Reader) Size() int64 { return f.entry.Size }

// Read implements io.Reader.
func (f *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && f.offset < f.entry.Size {
		b, zeros, err := f.part()
		if err != nil {
			return n, err
		}
		k := min(len(b), len(p)-n)
		if b == nil {
			k = int(min(zeros, int64(len(p)-n)))
			clear(p[n : n+k])
		} else {
			copy(p[n:], b[:k])
		}
		n += k
		f.offset += int64(k)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// WriteTo implements io.WriterTo. Holes are written as zeros.
func (f *Reader) WriteTo(w io.Writer) (int64, error) {
	return f.each(w, func(n int64) error { return writeZeros(w, n) })
}

// WriteFile writes what is left to read into a new file, in which holes are
// holes again.
func (f *Reader) WriteFile(to *os.File) error {
	_, err := f.each(to, func(n int64) error {
		_, err := to.Seek(n, io.SeekCurrent)
		return err
	})
	if n := len(f.entry.Extents); err != nil || n == 0 || f.entry.Extents[n-1].Chunk != (ID{}) {
		return err
	}
	end, err := to.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	return to.Truncate(end)
}

// each writes what is left to read, and has holes dealt with.
func (f *Reader) each(w io.Writer, hole func(n int64) error) (int64, error) {
	start := f.offset
	for f.offset < f.entry.Size {
		b, n, err := f.part()
		if err == nil && b == nil {
			err = hole(n)
		} else if err == nil {
			n = int64(len(b))
			_, err = w.Write(b)
		}
		if err != nil {
			return f.offset - start, err
		}
		f.offset += n
	}
	return f.offset - start, nil
}

func writeZeros(w io.Writer, n int64) error {
	for n > 0 {
		k := min(n, int64(len(zeros)))
		if _, err := io.WriteString(w, zeros[:k]); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// Seek implements io.Seeker.
func (f *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.entry.Size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, errors.New("seek to where no file can be")
	}
	f.offset = offset
	return offset, nil
}

// Close lets go of the content.
func (f *Reader) Close() error {
	f.closed.Do(func() {
		f.stop()
		if f.more != nil {
			<-f.more
		}
		f.have = nil
		f.repo.gate.leave()
	})
	return nil
}

// part returns what is at the offset, up to the end of its extent: bytes, or how
// many zeros. There must be something.
func (f *Reader) part() (b []byte, zeros int64, err error) {
	i := sort.Search(len(f.ends), func(i int) bool { return f.ends[i] > f.offset })
	x := f.entry.Extents[i]
	if x.Chunk == (ID{}) {
		return nil, f.ends[i] - f.offset, nil
	}
	chunk, ok := f.have[x.Chunk]
	if !ok {
		if chunk, err = f.fetch(i); err != nil {
			return nil, 0, blame(err, f.entry.Path)
		}
	}
	if int64(len(chunk)) != x.Size {
		return nil, 0, blame(&damage{x.Chunk, "is not as long as the file says"}, f.entry.Path)
	}
	return chunk[x.Size-(f.ends[i]-f.offset):], 0, nil
}

// fetch gets the chunk of extent i, and has those behind it fetched ahead if the
// file is being read straight on.
func (f *Reader) fetch(i int) ([]byte, error) {
	straight := i == 0 || i == f.next
	got, err := f.ahead(i)
	if err != nil {
		return nil, err
	}
	if got.chunks == nil {
		n := 1
		if straight {
			n = f.window(i)
		}
		got.chunks, got.err = f.repo.fetch(f.ctx, ids(f.entry.Extents[i:i+n]))
		got.next = i + n
	}
	f.have, f.next = got.chunks, got.next
	if straight && f.next < len(f.ends) {
		f.begin(f.next)
	}
	if chunk, ok := f.have[f.entry.Extents[i].Chunk]; ok {
		return chunk, nil // what is wrong with others is said when they are read
	}
	return nil, got.err
}

// ahead returns what was fetched ahead, if that is what extent i needs.
func (f *Reader) ahead(i int) (fetched, error) {
	if f.more == nil {
		return fetched{}, f.ctx.Err()
	}
	got := <-f.more
	f.more = nil
	if _, ok := got.chunks[f.entry.Extents[i].Chunk]; !ok {
		return fetched{}, f.ctx.Err()
	}
	return got, f.ctx.Err()
}

func (f *Reader) begin(i int) {
	n := f.window(i)
	more := make(chan fetched, 1)
	go func() {
		chunks, err := f.repo.fetch(f.ctx, ids(f.entry.Extents[i:i+n]))
		more <- fetched{chunks, i + n, err}
	}()
	f.more = more
}

// window returns how many extents from i on are fetched at once.
func (f *Reader) window(i int) int {
	n, bytes := 0, int64(0)
	for ; i+n < len(f.ends) && n < 256; n++ {
		if x := f.entry.Extents[i+n]; x.Chunk != (ID{}) {
			bytes += x.Size
		}
		if n > 0 && bytes > readAhead {
			break
		}
	}
	return n
}

// ids returns the chunks of extents.
func ids(extents []Extent) []ID {
	ids := make([]ID, 0, len(extents))
	for _, x := range extents {
		if x.Chunk != (ID{}) {
			ids = append(ids, x.Chunk)
		}
	}
	return ids
}
