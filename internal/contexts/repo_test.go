package contexts_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/mem"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/contextstest"
)

// A world is a tenant's data with what it is kept in.
type world struct {
	*contexts.Repo
	blobs blob.Store
	index *contextstest.Index
}

func newWorld() *world { return worldOf(new(mem.Store)) }

func worldOf(blobs blob.Store) *world {
	x := contextstest.NewIndex()
	return &world{contexts.New("tenant", blobs, x), blobs, x}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) writer(t testing.TB) *contexts.Writer {
	t.Helper()
	writer, err := w.Writer(t.Context())
	must(t, err)
	return writer
}

// noise is n bytes that cannot be compressed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))
	rng.Read(b)
	return b
}

var when = time.Date(2026, 3, 4, 5, 6, 7, 890123456, time.UTC)

// entry stores content and describes it.
func entry(t testing.TB, w *contexts.Writer, path string, content []byte) contexts.Entry {
	t.Helper()
	extents, n, err := w.File(t.Context(), bytes.NewReader(content), int64(len(content)))
	must(t, err)
	if n != int64(len(content)) {
		t.Fatalf("File of %d bytes stored %d", len(content), n)
	}
	return contexts.Entry{Path: path, Kind: contexts.File, Mode: 0o644, Modified: when, Saved: when, Size: n, Extents: extents}
}

func dirEntry(path string) contexts.Entry {
	return contexts.Entry{Path: path, Kind: contexts.Dir, Mode: 0o755, Modified: when, Saved: when}
}

func put(e contexts.Entry) contexts.Change { return contexts.Change{Path: e.Path, Entry: e} }

func remove(path string) contexts.Change { return contexts.Change{Path: path, Remove: true} }

func seq(changes ...contexts.Change) iter.Seq2[contexts.Change, error] {
	return func(yield func(contexts.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// apply makes a root of changes.
func (w *world) apply(t testing.TB, root contexts.Root, changes ...contexts.Change) contexts.Root {
	t.Helper()
	writer := w.writer(t)
	defer writer.Close()
	root, _, err := w.Apply(t.Context(), writer, root, seq(changes...))
	must(t, err)
	return root
}

// save puts files, by path, into root.
func (w *world) save(t testing.TB, root contexts.Root, files map[string][]byte) contexts.Root {
	t.Helper()
	writer := w.writer(t)
	defer writer.Close()
	var changes []contexts.Change
	for _, path := range slices.SortedFunc(maps.Keys(files), contexts.Compare) {
		changes = append(changes, put(entry(t, writer, path, files[path])))
	}
	root, _, err := w.Apply(t.Context(), writer, root, seq(changes...))
	must(t, err)
	return root
}

func (w *world) entries(t testing.TB, root contexts.Root, prefix string) []contexts.Entry {
	t.Helper()
	var all []contexts.Entry
	for e, err := range w.Entries(t.Context(), root, prefix) {
		must(t, err)
		all = append(all, e)
	}
	return all
}

func (w *world) read(t testing.TB, e contexts.Entry) []byte {
	t.Helper()
	f, err := w.Open(t.Context(), e)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

// holds checks that root has these files, and no other entry.
func (w *world) holds(t testing.TB, root contexts.Root, files map[string][]byte) {
	t.Helper()
	n := 0
	for c, err := range w.Contents(t.Context(), w.Entries(t.Context(), root, "")) {
		must(t, err)
		b, err := io.ReadAll(c.File)
		must(t, err)
		must(t, c.File.Close())
		if want, ok := files[c.Path]; !ok || !bytes.Equal(b, want) {
			t.Errorf("%s has %d bytes, want %d (%v)", c.Path, len(b), len(want), ok)
		}
		n++
	}
	if n != len(files) {
		t.Errorf("%d entries, want %d", n, len(files))
	}
}

func one[E any](roots ...E) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for _, r := range roots {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestFilesAreReadAsTheyWereWritten(t *testing.T) {
	w := newWorld()
	files := map[string][]byte{
		"empty":      {},
		"byte":       {7},
		"text":       []byte(strings.Repeat("the same again and again\n", 40_000)),
		"noise":      noise(1, 700_000),
		"large":      noise(2, 9_000_000),
		"zeros":      make([]byte, 5_000_000),
		"mixed":      slices.Concat(make([]byte, 3<<20), noise(3, 2<<20), make([]byte, 3<<20)),
		"just small": noise(4, 256<<10),
		"not small":  noise(5, 256<<10+1),
	}
	root := w.save(t, contexts.Root{}, files)
	w.holds(t, root, files)
	totals, err := w.Totals(t.Context(), root)
	must(t, err)
	want := contexts.Totals{Files: int64(len(files))}
	for _, b := range files {
		want.Bytes += int64(len(b))
	}
	if totals != want {
		t.Errorf("totals %v, want %v", totals, want)
	}
}

func TestZerosAreHoles(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	for _, n := range []int{1, 4096, 100_000, 10_000_000} {
		e := entry(t, writer, "zeros", make([]byte, n))
		if want := []contexts.Extent{{Size: int64(n)}}; !slices.Equal(e.Extents, want) {
			t.Errorf("%d zeros are %v, want %v", n, e.Extents, want)
		}
	}
}

func TestEqualContentIsStoredOnce(t *testing.T) {
	w := newWorld()
	content := noise(1, 3_000_000)
	root := w.save(t, contexts.Root{}, map[string][]byte{"a": content, "b": content})
	before := w.stored(t)
	if before > 3_100_000 {
		t.Errorf("two files of the same 3 MB take %d bytes", before)
	}
	w.save(t, root, map[string][]byte{"c/d": content})
	if more := w.stored(t) - before; more > 10_000 {
		t.Errorf("a third file of that content took %d bytes", more)
	}
}

func (w *world) stored(t testing.TB) (n int64) {
	t.Helper()
	for info, err := range w.blobs.List(t.Context(), "") {
		must(t, err)
		n += info.Size
	}
	return n
}

func TestASmallChangeOfALargeFileStoresLittle(t *testing.T) {
	w := newWorld()
	content := noise(1, 32<<20)
	root := w.save(t, contexts.Root{}, map[string][]byte{"f": content})
	before := w.stored(t)
	content = slices.Insert(content, 10<<20, noise(2, 1000)...) // all that follows has moved
	root = w.save(t, root, map[string][]byte{"f": content})
	if more := w.stored(t) - before; more > 5<<20 {
		t.Errorf("1000 bytes inserted into 32 MB took %d bytes", more)
	}
	w.holds(t, root, map[string][]byte{"f": content})
}

func TestReadersSeek(t *testing.T) {
	w := newWorld()
	content := slices.Concat(noise(1, 6<<20), make([]byte, 4<<20), noise(2, 6<<20))
	root := w.save(t, contexts.Root{}, map[string][]byte{"f": content})
	f, err := w.Open(t.Context(), w.entries(t, root, "f")[0])
	must(t, err)
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		at, n := rng.IntN(len(content)), rng.IntN(300_000)
		_, err := f.Seek(int64(at-len(content)), io.SeekEnd)
		must(t, err)
		got := make([]byte, n)
		k, err := io.ReadFull(f, got)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if want := content[at:min(at+n, len(content))]; !bytes.Equal(got[:k], want) {
			t.Fatalf("%d bytes from %d are wrong", n, at)
		}
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek to -1 succeeded")
	}
	_, err = f.Seek(1<<40, io.SeekStart)
	must(t, err)
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read behind the end: %d, %v", n, err)
	}
}

// A model is what a manifest should be, by path.
type model map[string]contexts.Entry

func (m model) apply(c contexts.Change) {
	if c.Remove || c.Entry.Kind != contexts.Dir {
		maps.DeleteFunc(m, func(p string, _ contexts.Entry) bool { return p == c.Path || contexts.Below(p, c.Path) })
	}
	if c.Remove {
		return
	}
	for dir := path.Dir(c.Path); dir != "."; dir = path.Dir(dir) {
		if m[dir].Kind != contexts.Dir {
			delete(m, dir)
		}
	}
	m[c.Path] = c.Entry
}

func (m model) sorted() []contexts.Entry {
	return slices.SortedFunc(maps.Values(m), func(a, b contexts.Entry) int { return contexts.Compare(a.Path, b.Path) })
}

func (m model) changes() (all []contexts.Change) {
	for _, e := range m.sorted() {
		all = append(all, put(e))
	}
	return all
}

func sameEntries(t testing.TB, got, want []contexts.Entry) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("entry %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
}

// somePath is a path that others are likely to share, or lie above or below.
func somePath(rng *rand.Rand) string {
	parts := []string{"a", "a.", "a-b", "b", "c\xff", "d e", "é"}
	n := 1 + rng.IntN(4)
	path := make([]string, n)
	for i := range path {
		path[i] = parts[rng.IntN(len(parts))]
	}
	return strings.Join(path, "/")
}

func someEntry(rng *rand.Rand, path string) contexts.Entry {
	e := contexts.Entry{
		Path: path, Kind: contexts.Kind(1 + rng.IntN(3)), Mode: 0o640,
		Modified: when.Add(time.Duration(rng.IntN(3))), Saved: when, Outside: rng.IntN(9) == 0, Packed: rng.IntN(9) == 0,
	}
	switch e.Kind {
	case contexts.File:
		e.Size = int64(rng.IntN(3))
		if e.Size > 0 {
			e.Extents = []contexts.Extent{{Size: e.Size}}
		}
	case contexts.Symlink:
		e.Target = "../x"
	}
	return e
}

// someChanges are changes in order, no two of which contradict each other.
func someChanges(rng *rand.Rand, n int) []contexts.Change {
	byPath := map[string]contexts.Change{}
	for range n {
		p := somePath(rng)
		if byPath[p] = put(someEntry(rng, p)); rng.IntN(4) == 0 {
			byPath[p] = remove(p)
		}
	}
	return ordered(byPath)
}

// ordered sorts changes and leaves out what is put below a file.
func ordered(byPath map[string]contexts.Change) (changes []contexts.Change) {
	file := ""
	for _, p := range slices.SortedFunc(maps.Keys(byPath), contexts.Compare) {
		c := byPath[p]
		if file != "" && contexts.Below(p, file) {
			continue
		}
		if !c.Remove && c.Entry.Kind != contexts.Dir {
			file = p
		}
		changes = append(changes, c)
	}
	return changes
}

func TestApplyDoesWhatTheModelDoes(t *testing.T) {
	contexts.SmallPages(t)
	w := newWorld()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		root, m := contexts.Root{}, model{}
		for range 12 {
			changes := someChanges(rng, 1+rng.IntN(40))
			root = w.apply(t, root, changes...)
			for _, c := range changes {
				m.apply(c)
			}
			sameEntries(t, w.entries(t, root, ""), m.sorted())
			if fresh := w.apply(t, contexts.Root{}, m.changes()...); fresh != root {
				t.Fatalf("seed %d: equal entries have the roots %s and %s", seed, root, fresh)
			}
			checkReads(t, w, rng, root, m)
		}
	}
}

// checkReads compares all ways to read with the model.
func checkReads(t *testing.T, w *world, rng *rand.Rand, root contexts.Root, m model) {
	t.Helper()
	for range 5 {
		p := somePath(rng)
		within := model(maps.Clone(m))
		maps.DeleteFunc(within, func(q string, _ contexts.Entry) bool { return q != p && !contexts.Below(q, p) })
		sameEntries(t, w.entries(t, root, p), within.sorted())
		checkLookup(t, w, root, p, within)
		checkChildren(t, w, rng, root, p, within)
	}
	checkChildren(t, w, rng, root, "", m)
}

func checkLookup(t *testing.T, w *world, root contexts.Root, p string, within model) {
	t.Helper()
	e, err := w.Lookup(t.Context(), root, p)
	switch want, ok := within[p]; {
	case ok && !reflect.DeepEqual(e, want):
		t.Fatalf("Lookup %q: %+v, %v, want %+v", p, e, err, want)
	case !ok && len(within) > 0 && (err != nil || e.Kind != contexts.Dir || e.Path != p):
		t.Fatalf("Lookup %q: %+v, %v, want a directory", p, e, err)
	case len(within) == 0 && !errors.Is(err, agentbay.NotFound):
		t.Fatalf("Lookup %q: %v, want NotFound", p, err)
	}
}

func checkChildren(t *testing.T, w *world, rng *rand.Rand, root contexts.Root, dir string, within model) {
	t.Helper()
	children := map[string]bool{}
	for p := range within {
		if !contexts.Below(p, dir) {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		name, _, _ := strings.Cut(rest, "/")
		children[path.Join(dir, name)] = true
	}
	want := slices.SortedFunc(maps.Keys(children), contexts.Compare)
	skip, limit := rng.IntN(4), rng.IntN(5)
	got, total, err := w.Children(t.Context(), root, dir, skip, limit)
	must(t, err)
	page := want[min(skip, len(want)):min(skip+limit, len(want))]
	if total != len(want) || len(got) != len(page) {
		t.Fatalf("Children of %q from %d: %d of %d, want %d of %d", dir, skip, len(got), total, len(page), len(want))
	}
	for i, e := range got {
		if known, ok := within[page[i]]; e.Path != page[i] || ok && !reflect.DeepEqual(e, known) || !ok && e.Kind != contexts.Dir {
			t.Fatalf("child %d of %q is %+v, want %s", i, dir, e, page[i])
		}
	}
}

func TestDiffMakesOneOfTheOther(t *testing.T) {
	contexts.SmallPages(t)
	w := newWorld()
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		from := w.apply(t, contexts.Root{}, someChanges(rng, rng.IntN(60))...)
		to := from
		if rng.IntN(4) == 0 {
			to = contexts.Root{}
		}
		to = w.apply(t, to, someChanges(rng, rng.IntN(20))...)
		changes := w.diff(t, from, to, "")
		if got := w.apply(t, from, changes...); got != to {
			t.Fatalf("seed %d: %v do not make %v of %v, but %v", seed, changes, w.entries(t, to, ""), w.entries(t, from, ""), w.entries(t, got, ""))
		}
		checkTopmost(t, w, from, to, changes)
	}
}

// checkTopmost checks that each thing is removed once, and whole: nothing is
// removed below what is gone, and no directory stays that nothing leads to.
func checkTopmost(t *testing.T, w *world, from, to contexts.Root, changes []contexts.Change) {
	t.Helper()
	gone := ""
	for _, c := range changes {
		if !c.Remove {
			continue
		}
		if gone != "" && contexts.Below(c.Path, gone) {
			t.Fatalf("%s is removed, and then %s", gone, c.Path)
		}
		gone = c.Path
		for dir := path.Dir(c.Path); dir != "."; dir = path.Dir(dir) {
			if len(w.entries(t, to, dir)) == 0 {
				t.Fatalf("%s is removed, but %s is gone", c.Path, dir)
			}
		}
		if len(w.entries(t, from, c.Path)) == 0 {
			t.Fatalf("%s is removed, and was not there", c.Path)
		}
	}
}

func (w *world) diff(t testing.TB, from, to contexts.Root, prefix string) (changes []contexts.Change) {
	t.Helper()
	for c, err := range w.Diff(t.Context(), from, to, prefix) {
		must(t, err)
		changes = append(changes, c)
	}
	return changes
}

func TestDiffStaysBelowThePrefix(t *testing.T) {
	contexts.SmallPages(t)
	w := newWorld()
	files := map[string][]byte{"a": {1}, "d/x": {1}, "d/y/z": {1}, "d.e": {1}}
	from := w.save(t, contexts.Root{}, files)
	to := w.save(t, contexts.Root{}, map[string][]byte{"d.e": {2}, "e": {3}})
	got := w.diff(t, from, to, "d")
	if want := []contexts.Change{remove("d/x"), remove("d/y")}; !reflect.DeepEqual(got, want) {
		t.Errorf("diff %v, want %v", got, want)
	}
}

// numbered is a large manifest.
func numbered(n int) []contexts.Change {
	changes := make([]contexts.Change, n)
	for i := range changes {
		path := fmt.Sprintf("src/package%04d/file%06d.go", i/100, i)
		id := contexts.ID(sha256.Sum256([]byte(path)))
		changes[i] = put(contexts.Entry{
			Path: path, Kind: contexts.File, Mode: 0o644, Modified: when.Add(time.Duration(i)), Saved: when,
			Size: 1000, Extents: []contexts.Extent{{Chunk: id, Size: 1000}},
		})
	}
	return changes
}

func TestAChangeRewritesThePagesThatItTouches(t *testing.T) {
	w := newWorld()
	changes := numbered(20_000)
	root := w.apply(t, contexts.Root{}, changes...)
	before := w.stored(t)
	for _, i := range []int{0, 777, 10_000, 19_999} {
		c := changes[i]
		c.Entry.Mode = 0o600
		root = w.apply(t, root, c)
		changes[i] = c
	}
	if more := w.stored(t) - before; more > before/4 {
		t.Errorf("4 changes of 20000 took %d bytes, all took %d", more, before)
	}
	if fresh := w.apply(t, contexts.Root{}, changes...); fresh != root {
		t.Error("changes one by one make another root than all at once")
	}
	reads := w.index.Calls("Find")
	if n := len(w.diff(t, root, w.apply(t, root, remove("src/package0100")), "")); n != 1 {
		t.Errorf("a removed directory makes %d changes, want 1", n)
	}
	if n := w.index.Calls("Find") - reads; n > 20 {
		t.Errorf("a small difference took %d reads", n)
	}
}

func TestALargeListOfExtentsIsKeptApart(t *testing.T) {
	w := newWorld()
	rng := rand.New(rand.NewPCG(1, 1))
	e := contexts.Entry{Path: "big", Kind: contexts.File, Modified: when, Saved: when}
	for i := range 30_000 {
		x := contexts.Extent{Chunk: sha256.Sum256(fmt.Append(nil, i)), Size: int64(1 + rng.IntN(2<<20))}
		if i%3 == 2 {
			x.Chunk = contexts.ID{}
		}
		e.Extents = append(e.Extents, x)
		e.Size += x.Size
	}
	root := w.apply(t, contexts.Root{}, put(dirEntry("a")), put(e), put(dirEntry("c")))
	sameEntries(t, w.entries(t, root, ""), []contexts.Entry{dirEntry("a"), e, dirEntry("c")})
	before := w.stored(t)
	e.Extents[100].Chunk[5]++
	root = w.apply(t, root, put(e))
	sameEntries(t, w.entries(t, root, "big"), []contexts.Entry{e})
	if more := w.stored(t) - before; more > before/2 {
		t.Errorf("one extent of 30000 took %d bytes, all took %d", more, before)
	}
	root = w.apply(t, root, put(dirEntry("b"))) // the row is written anew from its lists
	if got := w.entries(t, root, "big"); !reflect.DeepEqual(got, []contexts.Entry{e}) {
		t.Error("the file changed when its neighbour came")
	}
}

func TestChangesOutOfOrderAreRefused(t *testing.T) {
	w := newWorld()
	file := func(p string) contexts.Change { return put(contexts.Entry{Path: p, Kind: contexts.File}) }
	for _, changes := range [][]contexts.Change{
		{file("b"), file("a")},
		{file("a"), file("a")},
		{file("a"), remove("a")},
		{file("a-b"), file("a/b")},
		{file("a"), file("a/b")},
		{file("")}, {file("/a")}, {file("a//b")}, {file("a/../b")}, {file("a\x00")}, {file(".")},
		{file(strings.Repeat("a/", 9000) + "a")},
		{put(contexts.Entry{Path: "a"})},
		{put(contexts.Entry{Path: "a", Kind: 9})},
		{put(contexts.Entry{Path: "a", Kind: contexts.File, Size: 1})},
		{put(contexts.Entry{Path: "a", Kind: contexts.Dir, Size: 1, Extents: []contexts.Extent{{Size: 1}}})},
		{put(contexts.Entry{Path: "a", Kind: contexts.File, Size: 2, Extents: []contexts.Extent{{Size: 1}, {Size: 1}}})},
		{{Path: "a", Entry: contexts.Entry{Path: "b", Kind: contexts.File}}},
	} {
		writer := w.writer(t)
		if _, _, err := w.Apply(t.Context(), writer, contexts.Root{}, seq(changes...)); !errors.Is(err, agentbay.Internal) {
			t.Errorf("Apply %.100v: %v, want Internal", changes, err)
		}
		writer.Close()
	}
}

func TestAFailedChangeEndsApply(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	trouble := errors.New("trouble")
	_, _, err := w.Apply(t.Context(), writer, contexts.Root{}, func(yield func(contexts.Change, error) bool) {
		_ = yield(put(dirEntry("a")), nil) && yield(contexts.Change{}, trouble)
	})
	if !errors.Is(err, trouble) {
		t.Errorf("Apply: %v, want the trouble", err)
	}
}

func TestWriterUsesBlobsOnceFlushed(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	entry(t, writer, "a", noise(1, 1000))
	must(t, writer.Close())
	if n := w.stored(t); n != 0 {
		t.Errorf("a Writer that was closed without Flush left %d bytes", n)
	}
	writer = w.writer(t)
	defer writer.Close()
	e := entry(t, writer, "a", noise(1, 1000))
	must(t, writer.Flush(t.Context()))
	if got := w.read(t, e); !bytes.Equal(got, noise(1, 1000)) {
		t.Error("what was flushed cannot be read")
	}
	if _, _, err := writer.File(t.Context(), io.MultiReader(bytes.NewReader([]byte("x")), failing{}), -1); !errors.Is(err, errBroken) {
		t.Errorf("File of a broken reader: %v", err)
	}
	if err := writer.Flush(t.Context()); err != nil {
		t.Errorf("a broken reader broke the Writer: %v", err)
	}
}

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func TestFileReadsAtMostItsSize(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	for _, size := range []int64{0, 1, 1000, 1 << 20} {
		extents, n, err := writer.File(t.Context(), rand.NewChaCha8([32]byte{}), size) // which never ends
		must(t, err)
		sum := int64(0)
		for _, x := range extents {
			sum += x.Size
		}
		if n != size || sum != size {
			t.Errorf("File of %d bytes stored %d, in extents of %d", size, n, sum)
		}
	}
}

func TestManyFilesAtOnce(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	type result struct {
		e       contexts.Entry
		content []byte
		err     error
	}
	results := make(chan result)
	for i := range 50 {
		go func() {
			content := noise(uint64(i%20), 1+i*37_000)
			extents, n, err := writer.File(t.Context(), bytes.NewReader(content), int64(len(content)))
			e := contexts.Entry{Path: fmt.Sprintf("%02d", i), Kind: contexts.File, Size: n, Extents: extents}
			results <- result{e, content, err}
		}()
	}
	all := make([]result, 50)
	for i := range all {
		all[i] = <-results
		must(t, all[i].err)
	}
	must(t, writer.Flush(t.Context()))
	for _, r := range all {
		if !bytes.Equal(w.read(t, r.e), r.content) {
			t.Errorf("%s cannot be read as it was written", r.e.Path)
		}
	}
}

func TestContentsCanBeLeftEarly(t *testing.T) {
	w := newWorld()
	files := map[string][]byte{}
	for i := range 3000 {
		files[fmt.Sprintf("%04d", i)] = noise(uint64(i), 100)
	}
	root := w.save(t, contexts.Root{}, files)
	n := 0
	for c, err := range w.Contents(t.Context(), w.Entries(t.Context(), root, "")) {
		must(t, err)
		c.File.Close()
		if n++; n == 10 {
			break
		}
	}
	if _, err := w.Collect(t.Context(), one(root)); err != nil {
		t.Errorf("Collect afterwards: %v", err)
	}
}

func TestCompareIsByPart(t *testing.T) {
	sorted := []string{"", "a", "a/b", "a/b/c", "a/c", "a\x01", "a b", "a-b", "a.", "a0", "b"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := contexts.Compare(a, b); cmp.Compare(got, 0) != cmp.Compare(i, j) {
				t.Errorf("Compare %q %q = %d", a, b, got)
			}
		}
	}
}

func TestACancelledContextEndsEverything(t *testing.T) {
	w := newWorld()
	root := w.save(t, contexts.Root{}, map[string][]byte{"a": noise(1, 5<<20)})
	e := w.entries(t, root, "a")[0]
	ctx, cancel := context.WithCancel(t.Context())
	f, err := w.Open(ctx, e)
	must(t, err)
	writer, err := w.Writer(ctx)
	must(t, err)
	cancel()
	if _, err := io.ReadAll(f); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if _, _, err := writer.File(ctx, bytes.NewReader(noise(1, 10)), 10); !errors.Is(err, context.Canceled) {
		t.Errorf("File: %v", err)
	}
	if _, err := w.Collect(ctx, one(root)); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("Collect while a Reader is open: %v", err)
	}
	f.Close()
	writer.Close()
	if _, err := w.Collect(ctx, one(root)); !errors.Is(err, context.Canceled) {
		t.Errorf("Collect: %v", err)
	}
}
