package contexts

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"time"
)

// A row is an entry as a page has it. The extents of a large file are in lists
// of their own, so that a page stays small.
type row struct {
	Entry              // without Extents if there are lists
	lists []extentList // of the file's extents
}

// An extentList is a chunk of extents.
type extentList struct {
	chunk ID
	n     int64 // extents in it
}

// What pages are made of begins with one of these, which also say in what form
// the rest is.
const (
	pageForm = 'P'<<4&0xf0 | 1
	rootForm = 'R'<<4&0xf0 | 1
	listForm = 'L'<<4&0xf0 | 1
)

const (
	pageBytes  = 512 << 10 // a page has at most about so many bytes
	pagePaths  = 4 << 20   // and so many bytes of paths in full
	nearby     = 1024      // extents that a row may have itself
	listBits   = 12        // a list has about 1<<listBits extents,
	listMax    = 1 << 14   // but at most so many
	maxLists   = 4096
	maxTarget  = 64 << 10
	maxSize    = 1 << 60
	unixSetuid = 0o4000
	unixSetgid = 0o2000
	unixSticky = 0o1000
)

// What pages aim at; variables so that tests can have small ones.
var (
	pageAim  uint64 = 64 << 10 // pages have about this weight
	pageRows        = 8 << 10  // and at most so many rows
)

// weight says how large a row is, by itself.
func (r *row) weight() int {
	return 32 + len(r.Path) - lastSlash(r.Path) + len(r.Target) + 35*(len(r.Extents)+len(r.lists))
}

func lastSlash(path string) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return i
		}
	}
	return 0
}

// endsPage reports whether a page ends behind r. It depends on nothing but r, so
// that equal entries are in equal pages, whatever happened before.
func (r *row) endsPage() bool {
	h := uint64(14695981039346656037) // FNV-1a, well mixed
	for i := range len(r.Path) {
		h = (h ^ uint64(r.Path[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0x9e3779b97f4a7c15
	return h>>32 < uint64(r.weight())<<32/pageAim
}

// The flags of a row.
const (
	kindMask = 3
	outside  = 1 << 2
	packed   = 1 << 3
	listed   = 1 << 4
)

func (r *row) flags() byte {
	f := byte(r.Kind)
	if r.Outside {
		f |= outside
	}
	if r.Packed {
		f |= packed
	}
	if len(r.lists) > 0 {
		f |= listed
	}
	return f
}

// appendRow encodes r behind a row with the path before.
func appendRow(b []byte, r *row, before string) []byte {
	b = appendPath(b, r.Path, before)
	b = append(b, r.flags())
	b = binary.AppendUvarint(b, uint64(unixMode(r.Mode)))
	b = appendTime(b, r.Modified)
	b = appendTime(b, r.Saved)
	switch r.Kind {
	case Symlink:
		b = binary.AppendUvarint(b, uint64(len(r.Target)))
		b = append(b, r.Target...)
	case File:
		b = binary.AppendUvarint(b, uint64(r.Size))
		b = appendContent(b, r)
	}
	return b
}

func appendContent(b []byte, r *row) []byte {
	if len(r.lists) == 0 {
		return appendExtents(b, r.Extents)
	}
	b = binary.AppendUvarint(b, uint64(len(r.lists)))
	for _, l := range r.lists {
		b = binary.AppendUvarint(b, uint64(l.n))
		b = append(b, l.chunk[:]...)
	}
	return b
}

func appendExtents(b []byte, extents []Extent) []byte {
	b = binary.AppendUvarint(b, uint64(len(extents)))
	for _, e := range extents {
		if e.Chunk == (ID{}) {
			b = binary.AppendUvarint(b, uint64(e.Size)<<1)
			continue
		}
		b = binary.AppendUvarint(b, uint64(e.Size)<<1|1)
		b = append(b, e.Chunk[:]...)
	}
	return b
}

// appendPath leaves out what path shares with the one before.
func appendPath(b []byte, path, before string) []byte {
	n := 0
	for n < min(len(path), len(before)) && path[n] == before[n] {
		n++
	}
	b = binary.AppendUvarint(b, uint64(n))
	b = binary.AppendUvarint(b, uint64(len(path)-n))
	return append(b, path[n:]...)
}

func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	for _, bit := range modeBits {
		if m&bit.mode != 0 {
			u |= bit.unix
		}
	}
	return u
}

func fileMode(u uint32) fs.FileMode {
	m := fs.FileMode(u & 0o777)
	for _, bit := range modeBits {
		if u&bit.unix != 0 {
			m |= bit.mode
		}
	}
	return m
}

var modeBits = []struct {
	mode fs.FileMode
	unix uint32
}{{fs.ModeSetuid, unixSetuid}, {fs.ModeSetgid, unixSetgid}, {fs.ModeSticky, unixSticky}}

func (d *decoding) path(before string) string {
	shared := d.number(int64(len(before)))
	suffix := d.bytes(int(d.number(maxPath - shared)))
	path := before[:shared] + string(suffix)
	if d.err == nil && (checkPath(path) != nil || before != "" && Compare(before, path) >= 0) {
		d.fail()
	}
	return path
}

func (d *decoding) time() time.Time {
	return time.Unix(d.signed(), d.number(999_999_999)).UTC()
}

func (d *decoding) row(before string) (r row) {
	r.Path = d.path(before)
	flags := d.byte()
	r.Kind = Kind(flags & kindMask)
	r.Outside, r.Packed = flags&outside != 0, flags&packed != 0
	r.Mode = fileMode(uint32(d.number(0o7777)))
	r.Modified, r.Saved = d.time(), d.time()
	switch r.Kind {
	case File:
		d.content(&r, flags&listed != 0)
	case Symlink:
		r.Target = string(d.bytes(int(d.number(maxTarget))))
	case Dir:
	default:
		d.fail()
	}
	return r
}

func (d *decoding) content(r *row, listed bool) {
	r.Size = d.number(maxSize)
	if !listed {
		if r.Extents = d.extents(); sizeOf(r.Extents) != r.Size {
			d.fail()
		}
		return
	}
	n := d.count(len(ID{}) + 1)
	if n == 0 || n > maxLists {
		d.fail()
		return
	}
	r.lists = make([]extentList, n)
	for i := range r.lists {
		r.lists[i] = extentList{n: d.number(listMax), chunk: d.id()}
	}
}

func (d *decoding) extents() []Extent {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	// No two holes follow each other, so that n extents take many bytes.
	extents := make([]Extent, 0, min(n, len(d.b)/17+1))
	hole := false
	for range n {
		e := d.extent()
		if d.err != nil || e.Size == 0 || hole && e.Chunk == (ID{}) {
			d.fail()
			return nil
		}
		hole = e.Chunk == (ID{})
		extents = append(extents, e)
	}
	return extents
}

func (d *decoding) extent() (e Extent) {
	v := d.number(maxSize<<1 | 1)
	e.Size = v >> 1
	if v&1 != 0 {
		if e.Chunk = d.id(); e.Size > maxPiece || e.Chunk == (ID{}) {
			d.fail()
		}
	}
	return e
}

// sizeOf returns the length of a content, or -1 if it has none.
func sizeOf(extents []Extent) int64 {
	sum := int64(0)
	for _, e := range extents {
		if e.Size <= 0 || e.Size > maxSize-sum {
			return -1
		}
		sum += e.Size
	}
	return sum
}

// decodePage reads a page.
func decodePage(b []byte) ([]row, error) {
	d := &decoding{b: b}
	if d.byte() != pageForm {
		d.fail()
	}
	n := d.count(7)
	if n == 0 || n > pageRows {
		d.fail()
		return nil, d.err
	}
	rows := make([]row, 0, n)
	before, paths := "", 0
	for range n {
		r := d.row(before)
		if paths += len(r.Path); d.err != nil || paths > pagePaths+maxPath {
			d.fail()
			return nil, d.err
		}
		before = r.Path
		rows = append(rows, r)
	}
	return rows, d.end()
}

func encodeList(extents []Extent) []byte { return appendExtents([]byte{listForm}, extents) }

// decodeList reads a list of extents.
func decodeList(b []byte) ([]Extent, error) {
	d := &decoding{b: b}
	if d.byte() != listForm {
		d.fail()
	}
	extents := d.extents()
	return extents, d.end()
}

// check says why e cannot be in a manifest, or nil.
func (e *Entry) check() error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	switch {
	case e.Kind == File && sizeOf(e.Extents) != e.Size:
		return fmt.Errorf("the content of %q does not have the file's size", e.Path)
	case e.Kind != File && (len(e.Extents) > 0 || e.Size != 0):
		return fmt.Errorf("%q is no file and has content", e.Path)
	case len(e.Target) > maxTarget:
		return fmt.Errorf("%q points to a path of %d bytes", e.Path, len(e.Target))
	case e.Kind < File || e.Kind > Symlink:
		return fmt.Errorf("%q is of no known kind", e.Path)
	}
	return e.checkExtents()
}

func (e *Entry) checkExtents() error {
	hole := false
	for _, x := range e.Extents {
		zero := x.Chunk == (ID{})
		if zero && hole {
			return fmt.Errorf("%q has two holes in a row", e.Path)
		}
		if !zero && x.Size > maxPiece {
			return fmt.Errorf("%q has a chunk of %d bytes", e.Path, x.Size)
		}
		hole = zero
	}
	return nil
}

// encodePage puts the head before rows.
func encodePage(rows []byte, n int64) []byte {
	b := make([]byte, 0, len(rows)+1+binary.MaxVarintLen64)
	b = append(b, pageForm)
	b = binary.AppendUvarint(b, uint64(n))
	return append(b, rows...)
}
