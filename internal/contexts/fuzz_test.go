package contexts

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
	"time"
)

// someRows are rows of each kind.
func someRows() []row {
	when := time.Unix(1_700_000_000, 5).UTC()
	id := hash([]byte("x"))
	entries := []Entry{
		{Path: "a", Kind: Dir, Mode: 0o755, Modified: when, Saved: when},
		{Path: "a/b", Kind: File, Mode: fileMode(0o7644), Modified: time.Time{}, Saved: when, Size: 7, Extents: []Extent{{id, 3}, {ID{}, 4}}},
		{Path: "a/c", Kind: File, Modified: time.Unix(-1<<40, 999_999_999).UTC(), Saved: when, Outside: true},
		{Path: "a/d\xff\n", Kind: Symlink, Modified: when, Saved: when, Target: "../../etc"},
		{Path: "a.tar.gz", Kind: File, Modified: when, Saved: when, Packed: true, Size: 3, Extents: []Extent{{id, 3}}},
	}
	rows := []row{{Entry: Entry{Path: "Z", Kind: File, Modified: when, Saved: when, Size: 1 << 40}, lists: []extentList{{id, 5000}, {id, 1}}}}
	for _, e := range entries {
		rows = append(rows, row{Entry: e})
	}
	return rows
}

func pageOf(rows []row) []byte {
	var b []byte
	before := ""
	for i := range rows {
		b = appendRow(b, &rows[i], before)
		before = rows[i].Path
	}
	return encodePage(b, int64(len(rows)))
}

func TestPagesAreDecodedAsTheyWereEncoded(t *testing.T) {
	rows := someRows()
	got, err := decodePage(pageOf(rows))
	if err != nil || !reflect.DeepEqual(got, rows) {
		t.Errorf("decoded %+v, %v, want %+v", got, err, rows)
	}
	b := pageOf(rows)
	for n := range b {
		if _, err := decodePage(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a page", n, len(b))
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add(pageOf(someRows()))
	f.Add([]byte{pageForm, 1, 0, 1, 'a', 2, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var rows []row
		if bounded(t, b, func() { rows, _ = decodePage(b) }); rows == nil {
			return
		}
		again, err := decodePage(pageOf(rows))
		if err != nil || !reflect.DeepEqual(again, rows) {
			t.Errorf("%+v came back as %+v, %v", rows, again, err)
		}
		for i, r := range rows {
			if checkPath(r.Path) != nil || i > 0 && Compare(rows[i-1].Path, r.Path) >= 0 {
				t.Errorf("row %d has the path %q", i, r.Path)
			}
		}
	})
}

// bounded checks that run allocates in proportion to its input, or not much.
func bounded(t *testing.T, b []byte, run func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20+100*uint64(len(b)) {
		t.Errorf("%d bytes of input took %d bytes of memory", len(b), n)
	}
}

func FuzzRoot(f *testing.F) {
	m := &manifest{}
	for i := range 3 {
		m.add(page{first: fmt.Sprintf("a/%d", i), rows: 5, Totals: Totals{Files: 4, Bytes: 1 << 40}, chunk: hash([]byte{byte(i)})})
	}
	f.Add(encodeRoot(m))
	f.Add(encodeRoot(new(manifest)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m *manifest
		if bounded(t, b, func() { m, _ = decodeRoot(b) }); m == nil {
			return
		}
		again, err := decodeRoot(encodeRoot(m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add(encodeList([]Extent{{hash([]byte("x")), 100}, {ID{}, 1 << 40}, {hash([]byte("y")), 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var extents []Extent
		if bounded(t, b, func() { extents, _ = decodeList(b) }); extents == nil {
			return
		}
		again, err := decodeList(encodeList(extents))
		if err != nil || !slices.Equal(again, extents) {
			t.Errorf("%v came back as %v, %v", extents, again, err)
		}
	})
}

func FuzzPack(f *testing.F) {
	p := packOf([]byte("one"), bytes.Repeat([]byte("two"), 1000))
	_, r := p.finish("t/packs/")
	b, err := io.ReadAll(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Add(b[p.size:len(b)-footerSize], true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed { // a directory that has its sum, whatever is in it
			sum := sha256.Sum256(b)
			bounded(t, b, func() { parseDirectory(b, sum, 1<<20) })
			return
		}
		if len(b) < footerSize {
			return
		}
		n, sum, err := parseFooter(b[len(b)-footerSize:])
		if rest := b[:len(b)-footerSize]; err == nil && n <= int64(len(rest)) {
			space := int64(len(rest)) - n
			chunks, _ := parseDirectory(rest[space:], sum, space)
			for _, c := range chunks {
				if c.Offset < 0 || c.end() > space {
					t.Errorf("chunk at %d to %d of %d", c.Offset, c.end(), space)
				}
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	for _, chunk := range [][]byte{[]byte("short"), bytes.Repeat([]byte("long "), 1000)} {
		form, data := pack(nil, chunk)
		f.Add(append([]byte{form}, data...), int64(len(chunk)))
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if got, err := unpack(hash(b), b, size); err == nil && hash(got) != hash(b) {
			t.Error("something else was unpacked than was asked for")
		}
	})
}

func packOf(chunks ...[]byte) *packer {
	p := new(packer)
	for _, chunk := range chunks {
		form, data := pack(nil, chunk)
		buf := newBuffer(len(data))
		copy(buf.b, data)
		p.add(packedPiece{hash(chunk), int64(len(chunk)), form, buf.b, buf})
		buf.free()
	}
	return p
}

func TestPacksHaveTheirDirectory(t *testing.T) {
	chunks := [][]byte{[]byte("one"), random(1, 300_000), bytes.Repeat([]byte("three"), 30_000), {}, random(2, 70_000)}
	p := packOf(chunks...)
	k, r := p.finish("t/packs/")
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != k.Size {
		t.Fatalf("a pack of %d bytes has %d, %v", k.Size, len(b), err)
	}
	n, sum, err := parseFooter(b[len(b)-footerSize:])
	if err != nil {
		t.Fatal(err)
	}
	space := k.Size - int64(footerSize) - n
	found, err := parseDirectory(b[space:][:n], sum, space)
	if err != nil || len(found) != len(chunks) || space != k.Used {
		t.Fatalf("%d chunks in %d of %d bytes, %v", len(found), space, k.Used, err)
	}
	for i, c := range found {
		got, err := unpack(hash(chunks[i]), b[c.Offset:c.end()], c.Size)
		if err != nil || !bytes.Equal(got, chunks[i]) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
}

func TestPacksCanBeReadFromAnywhere(t *testing.T) {
	_, r := packOf(random(1, 300_000), []byte("small"), random(2, 100_000)).finish("t/packs/")
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, b); err != nil {
		t.Error(err)
	}
}

func TestHostileListsAreRefused(t *testing.T) {
	id := hash([]byte("x"))
	for name, b := range map[string][]byte{
		"two holes":     encodeList([]Extent{{ID{}, 1}, {ID{}, 1}}),
		"nothing":       encodeList([]Extent{{id, 0}}),
		"a large chunk": encodeList([]Extent{{id, maxPiece + 1}}),
		"a large claim": {listForm, 0xff, 0xff, 0xff, 0xff, 0x7f, 2},
		"another form":  append([]byte{pageForm}, encodeList([]Extent{{id, 1}})[1:]...),
		"more":          append(encodeList([]Extent{{id, 1}}), 0),
	} {
		if _, err := decodeList(b); err == nil {
			t.Errorf("a list with %s was decoded", name)
		}
	}
}
