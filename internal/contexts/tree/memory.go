package tree

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentbay/agentbay/internal/contexts"
)

// A memory is a file of memos in the order of their paths: what was saved from,
// or loaded into, an upper directory. It begins with memoryMagic and ends with
// an empty memo and a checksum. One that is damaged is the same as none: then
// everything in the directory is new.
const memoryMagic = "agentbay memory 1\n"

// maxMemo bounds a memo, which may be of a file of many chunks.
const maxMemo = 64 << 20

// What a memo says besides.
const (
	memoWhiteout = 1 << iota // the session removed it
	memoOpaque               // the directory hides what was below it
	memoClaim                // it is being loaded, or was, and may never have come there
	memoStat                 // it was unpacked: what it is is not known, only that it is not the session's
	memoHidden               // it is an archive of which only the content was loaded
	memoGone                 // it is nothing any more; only in changes
	memoRemove               // the change removes it first
	memoPut                  // the change puts it
)

// A memo is what is remembered of one path.
type memo struct {
	rel   string
	flags uint64

	// Who it was on the disk, and when that was seen. Of what was changed later,
	// or just before, the content has to be looked at.
	inode          uint64
	changed        int64 // nanoseconds
	seen           int64 // nanoseconds
	contexts.Entry       // without a Path
}

func (m memo) is(flag uint64) bool { return m.flags&flag != 0 }

// tick is how long two changes of a file may look like one.
const tick = 20 * time.Millisecond

// settled reports whether the file has the same content if it looks the same.
func (m memo) settled() bool { return m.seen-m.changed > int64(tick) }

// A memoWriter writes a memory.
type memoWriter struct {
	file *os.File
	out  *bufio.Writer
	sum  uint32
	buf  []byte
	n    int // memos
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newMemoWriter(file *os.File) *memoWriter {
	w := &memoWriter{file: file, out: bufio.NewWriterSize(file, 64<<10)}
	w.write([]byte(memoryMagic))
	return w
}

// write keeps the first error for close.
func (w *memoWriter) write(b []byte) {
	w.sum = crc32.Update(w.sum, castagnoli, b)
	w.out.Write(b)
}

func (w *memoWriter) add(m memo) {
	w.n++
	w.buf = m.append(w.buf[:0])
	var size [binary.MaxVarintLen64]byte
	w.write(size[:binary.PutUvarint(size[:], uint64(len(w.buf)))])
	w.write(w.buf)
}

func (w *memoWriter) close() error {
	w.write([]byte{0})
	w.out.Write(binary.LittleEndian.AppendUint32(nil, w.sum))
	return errors.Join(w.out.Flush(), w.file.Close())
}

// append encodes a memo.
func (m memo) append(b []byte) []byte {
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(m.rel)
	for _, n := range []uint64{m.flags, m.inode, uint64(m.Kind), uint64(m.Mode), uint64(m.Size)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, n := range []int64{m.changed, m.seen, m.Modified.Unix(), int64(m.Modified.Nanosecond()), m.Saved.Unix(), int64(m.Saved.Nanosecond())} {
		b = binary.AppendVarint(b, n)
	}
	text(m.Target)
	outside := uint64(0)
	if m.Outside {
		outside |= 1
	}
	if m.Packed {
		outside |= 2
	}
	b = binary.AppendUvarint(b, outside)
	b = binary.AppendUvarint(b, uint64(len(m.Extents)))
	for _, x := range m.Extents {
		b = binary.AppendUvarint(append(b, x.Chunk[:]...), uint64(x.Size))
	}
	return b
}

var errMemory = errors.New("the memory of what was saved is damaged")

// A memoReader takes a memo apart. After the first failure it returns zeros.
type memoReader struct {
	b   []byte
	bad bool
}

func (r *memoReader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *memoReader) int() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *memoReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *memoReader) time() time.Time { sec := r.int(); return time.Unix(sec, r.int()).UTC() }

// parseMemo decodes a memo.
func parseMemo(b []byte) (m memo, err error) {
	r := &memoReader{b: b}
	m.rel = string(r.take(r.uint()))
	m.flags, m.inode = r.uint(), r.uint()
	m.Kind, m.Mode, m.Size = contexts.Kind(r.uint()), fs.FileMode(r.uint()), int64(r.uint())
	m.changed, m.seen = r.int(), r.int()
	m.Modified, m.Saved = r.time(), r.time()
	m.Target = string(r.take(r.uint()))
	outside := r.uint()
	m.Outside, m.Packed = outside&1 != 0, outside&2 != 0
	n := r.uint()
	if n > uint64(len(r.b)/(len(contexts.ID{})+1)) {
		return memo{}, errMemory
	}
	for range n {
		var x contexts.Extent
		copy(x.Chunk[:], r.take(uint64(len(x.Chunk))))
		x.Size = int64(r.uint())
		m.Extents = append(m.Extents, x)
	}
	if r.bad || len(r.b) > 0 {
		return memo{}, errMemory
	}
	return m, nil
}

// memos reads a memory. If that is missing or damaged there are none.
func memos(path string) iter.Seq2[memo, error] {
	return func(yield func(memo, error) bool) {
		file, err := os.Open(path)
		if err != nil || !intact(file) {
			file.Close()
			return
		}
		defer file.Close()
		in := bufio.NewReaderSize(file, 64<<10)
		if _, err := in.Discard(len(memoryMagic)); err != nil {
			return
		}
		readMemos(in, yield)
	}
}

// readMemos yields memos until an empty one.
func readMemos(in *bufio.Reader, yield func(memo, error) bool) {
	var buf []byte
	for {
		size, err := binary.ReadUvarint(in)
		if err != nil || size > maxMemo {
			yield(memo{}, errMemory)
			return
		}
		if size == 0 {
			return
		}
		if buf, err = readN(in, buf[:0], int(size)); err != nil {
			yield(memo{}, errMemory)
			return
		}
		m, err := parseMemo(buf)
		if !yield(m, err) || err != nil {
			return
		}
	}
}

// readN reads n bytes, and takes no more memory than there is to read.
func readN(in io.Reader, buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		at := len(buf)
		buf = append(buf, make([]byte, min(n-at, 64<<10))...)
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// intact reports whether a memory was written to its end.
func intact(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() < int64(len(memoryMagic))+5 {
		return false
	}
	magic := make([]byte, len(memoryMagic))
	if _, err := file.ReadAt(magic, 0); err != nil || string(magic) != memoryMagic {
		return false
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, info.Size()-4)); err != nil {
		return false
	}
	var want [4]byte
	_, err = file.ReadAt(want[:], info.Size()-4)
	return err == nil && binary.LittleEndian.Uint32(want[:]) == sum.Sum32()
}

// Forget removes a memory, and what a killed Save or Load left beside it.
func Forget(memory string) error {
	files, err := os.ReadDir(filepath.Dir(memory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if f.Name() == filepath.Base(memory) || strings.HasPrefix(f.Name(), filepath.Base(memory)+halfMade) {
			err = errors.Join(err, os.Remove(filepath.Join(filepath.Dir(memory), f.Name())))
		}
	}
	return err
}

// halfMade is what the name of a memory is followed by until it is one.
const halfMade = ".new-"

// A memoQueue hands out the memos of a memory in order.
type memoQueue struct {
	next func() (memo, error, bool)
	stop func()
	head memo
	more bool
	err  error
}

func newMemoQueue(path string) *memoQueue {
	q := &memoQueue{}
	q.next, q.stop = iter.Pull2(memos(path))
	q.advance()
	return q
}

// advance goes to the next memo that is one still.
func (q *memoQueue) advance() {
	for {
		if q.head, q.err, q.more = q.next(); q.err != nil || !q.more {
			q.more = false
			return
		}
		if q.head.is(memoGone) {
			continue
		}
		if !q.head.is(memoClaim) {
			q.head.flags &^= memoPut | memoRemove
		}
		return
	}
}

// until hands out the memos of what comes before a path.
func (q *memoQueue) until(rel string, use func(memo)) error {
	for q.more && contexts.Compare(q.head.rel, rel) < 0 {
		use(q.head)
		q.advance()
	}
	return q.err
}

// at hands out the memos of a path, which comes next.
func (q *memoQueue) at(rel string, use func(memo)) error {
	for q.more && q.head.rel == rel {
		use(q.head)
		q.advance()
	}
	return q.err
}

// groups hands out the memos of one path after the other, up to a path or all.
func (q *memoQueue) groups(rel string, all bool, use func([]memo)) error {
	for q.more && (all || contexts.Compare(q.head.rel, rel) < 0) {
		var known []memo
		if err := q.at(q.head.rel, func(m memo) { known = append(known, m) }); err != nil {
			return err
		}
		use(known)
	}
	return q.err
}

// rest hands out all that are left.
func (q *memoQueue) rest(use func(memo)) error {
	for q.more {
		use(q.head)
		q.advance()
	}
	return q.err
}
