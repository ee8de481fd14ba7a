package contexts

import (
	"encoding/binary"
)

// A manifest is what a root chunk says: the pages, in order.
type manifest struct {
	Totals
	pages []page
}

// A page as the root knows it. It has the entries from first up to the next
// page's first.
type page struct {
	first string
	rows  int64
	Totals
	chunk ID
}

func encodeRoot(m *manifest) []byte {
	b := []byte{rootForm}
	b = binary.AppendUvarint(b, uint64(len(m.pages)))
	before := ""
	for _, p := range m.pages {
		b = appendPath(b, p.first, before)
		b = binary.AppendUvarint(b, uint64(p.rows))
		b = binary.AppendUvarint(b, uint64(p.Files))
		b = binary.AppendUvarint(b, uint64(p.Bytes))
		b = append(b, p.chunk[:]...)
		before = p.first
	}
	return b
}

// decodeRoot reads a root.
func decodeRoot(b []byte) (*manifest, error) {
	d := &decoding{b: b}
	if d.byte() != rootForm {
		d.fail()
	}
	n := d.count(len(ID{}) + 5)
	m := &manifest{pages: make([]page, 0, n)}
	before, paths := "", 0
	for range n {
		p := d.page(before)
		if paths += len(p.first); d.err != nil || paths > rootPaths {
			d.fail()
			return nil, d.err
		}
		m.add(p)
		before = p.first
	}
	return m, d.end()
}

// rootPaths bounds the paths in a root, which are stored without what they
// share.
const rootPaths = 256 << 20

func (d *decoding) page(before string) (p page) {
	p.first = d.path(before)
	p.rows = d.number(int64(pageRows))
	p.Files = d.number(p.rows)
	p.Bytes = d.number(mostBytes)
	p.chunk = d.id()
	return p
}

func (m *manifest) add(p page) {
	m.pages = append(m.pages, p)
	m.sum(p.Totals)
}

// mostBytes is as far as bytes are counted: sparse files can have any size.
const mostBytes = 1 << 62

func (t *Totals) sum(o Totals) {
	t.Files += o.Files
	t.Bytes = min(t.Bytes+o.Bytes, mostBytes)
}

// count adds an entry to the totals.
func (t *Totals) count(e *Entry) {
	if e.Kind != Dir {
		t.sum(Totals{1, e.Size})
	}
}
