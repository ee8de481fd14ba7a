package contextstest

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"github.com/agentbay/agentbay/internal/contexts"
)

// RunIndex runs the suite that every index must pass. Each test opens an index
// of its own, which is empty.
func RunIndex(t *testing.T, open func(*testing.T) contexts.Index) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, contexts.Index)
	}{
		{"what was added is found, in the order asked for", finds},
		{"nothing is found in an empty index", findsNothing},
		{"a chunk that is known stays where it is", staysWhereItIs},
		{"packs tell how much of them is in the index", packsTell},
		{"what is not marked is swept", sweeps},
		{"marks can repeat, and name what is unknown", marksRepeat},
		{"a sweep does not use the marks of an earlier one", marksAreForgotten},
		{"a pack's chunks are listed", listsChunks},
		{"several packs move into one", moves},
		{"many chunks at once", many},
		{"what was swept can be added again", addsAgain},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func id(n uint64) contexts.ID {
	var id contexts.ID
	binary.BigEndian.PutUint64(id[8:], n*0x9e3779b97f4a7c15)
	id[0] = 1 // the zero ID is none
	return id
}

// pack makes chunks with the given numbers, and a pack of them, 100 bytes each.
func pack(name string, numbers ...uint64) (contexts.Pack, []contexts.Chunk) {
	chunks := make([]contexts.Chunk, len(numbers))
	for i, n := range numbers {
		at := contexts.Location{Pack: name, Offset: int64(i * 100), Stored: 100, Size: int64(200 + n)}
		chunks[i] = contexts.Chunk{ID: id(n), Location: at}
	}
	size := int64(len(numbers) * 100)
	return contexts.Pack{Name: name, Size: size + 50, Used: size}, chunks
}

func add(t *testing.T, x contexts.Index, name string, numbers ...uint64) []contexts.Chunk {
	t.Helper()
	k, chunks := pack(name, numbers...)
	if err := x.Add(t.Context(), k, chunks); err != nil {
		t.Fatalf("Add %s: %v", name, err)
	}
	return chunks
}

func find(t *testing.T, x contexts.Index, numbers ...uint64) []contexts.Location {
	t.Helper()
	ids := make([]contexts.ID, len(numbers))
	for i, n := range numbers {
		ids[i] = id(n)
	}
	found, err := x.Find(t.Context(), ids)
	if err != nil || len(found) != len(ids) {
		t.Fatalf("Find %d: %d locations, %v", len(ids), len(found), err)
	}
	return found
}

func wantPacks(t *testing.T, x contexts.Index, want ...contexts.Pack) {
	t.Helper()
	packs, err := x.Packs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	samePacks(t, packs, want)
}

func samePacks(t *testing.T, got, want []contexts.Pack) {
	t.Helper()
	byName := func(a, b contexts.Pack) int {
		return map[bool]int{true: -1, false: 1}[a.Name < b.Name]
	}
	got = slices.SortedFunc(slices.Values(got), byName)
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("packs %v, want %v", got, want)
	}
}

func sweep(t *testing.T, x contexts.Index, live ...uint64) []contexts.Pack {
	t.Helper()
	if err := x.Live(t.Context()); err != nil {
		t.Fatal(err)
	}
	mark(t, x, live...)
	packs, err := x.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

func mark(t *testing.T, x contexts.Index, live ...uint64) {
	t.Helper()
	ids := make([]contexts.ID, len(live))
	for i, n := range live {
		ids[i] = id(n)
	}
	if err := x.Mark(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
}

func finds(t *testing.T, x contexts.Index) {
	a := add(t, x, "t/packs/a", 1, 2, 3)
	b := add(t, x, "t/packs/b", 4)
	found := find(t, x, 4, 9, 2, 2, 1)
	want := []contexts.Location{b[0].Location, {}, a[1].Location, a[1].Location, a[0].Location}
	if !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

func findsNothing(t *testing.T, x contexts.Index) {
	if found := find(t, x, 1); found[0] != (contexts.Location{}) {
		t.Errorf("found %v", found)
	}
	find(t, x)
	wantPacks(t, x)
	if chunks, err := x.Chunks(t.Context(), "t/packs/a"); err != nil || len(chunks) > 0 {
		t.Errorf("chunks of no pack: %v, %v", chunks, err)
	}
	samePacks(t, sweep(t, x), nil)
}

func staysWhereItIs(t *testing.T, x contexts.Index) {
	a := add(t, x, "t/packs/a", 1, 2)
	add(t, x, "t/packs/b", 2, 3)
	if found := find(t, x, 2); found[0] != a[1].Location {
		t.Errorf("chunk 2 is at %v, want %v", found[0], a[1].Location)
	}
	wantPacks(t, x, contexts.Pack{Name: "t/packs/a", Size: 250, Used: 200}, contexts.Pack{Name: "t/packs/b", Size: 250, Used: 100})
}

func packsTell(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1, 2)
	add(t, x, "t/packs/b", 3)
	wantPacks(t, x, contexts.Pack{Name: "t/packs/a", Size: 250, Used: 200}, contexts.Pack{Name: "t/packs/b", Size: 150, Used: 100})
}

func sweeps(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1, 2)
	add(t, x, "t/packs/b", 3)
	left := contexts.Pack{Name: "t/packs/a", Size: 250, Used: 100}
	samePacks(t, sweep(t, x, 2), []contexts.Pack{left})
	wantPacks(t, x, left)
	found := find(t, x, 1, 2, 3)
	if found[0] != (contexts.Location{}) || found[1].Pack != "t/packs/a" || found[2] != (contexts.Location{}) {
		t.Errorf("after the sweep: %v", found)
	}
}

func marksRepeat(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1, 2)
	if err := x.Live(t.Context()); err != nil {
		t.Fatal(err)
	}
	mark(t, x, 1, 7, 1)
	mark(t, x)
	mark(t, x, 2, 1)
	packs, err := x.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	samePacks(t, packs, []contexts.Pack{{Name: "t/packs/a", Size: 250, Used: 200}})
}

func marksAreForgotten(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1, 2)
	if err := x.Live(t.Context()); err != nil { // a collection that was killed
		t.Fatal(err)
	}
	mark(t, x, 1)
	samePacks(t, sweep(t, x, 2), []contexts.Pack{{Name: "t/packs/a", Size: 250, Used: 100}})
	if found := find(t, x, 1); found[0] != (contexts.Location{}) {
		t.Errorf("chunk 1 was marked by the collection before, and is still there")
	}
}

func listsChunks(t *testing.T, x contexts.Index) {
	want := add(t, x, "t/packs/a", 1, 2, 3)
	add(t, x, "t/packs/b", 4)
	got, err := x.Chunks(t.Context(), "t/packs/a")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b contexts.Chunk) int { return int(a.Offset - b.Offset) })
	if !slices.Equal(got, want) {
		t.Errorf("chunks %v, want %v", got, want)
	}
}

func moves(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1)
	add(t, x, "t/packs/b", 2, 3)
	k, chunks := pack("t/packs/c", 1, 2, 3)
	if err := x.Move(t.Context(), "t/packs/a", k, chunks[:1]); err != nil {
		t.Fatal(err)
	}
	wantPacks(t, x, contexts.Pack{Name: "t/packs/b", Size: 250, Used: 200}, contexts.Pack{Name: "t/packs/c", Size: 350, Used: 100})
	if err := x.Move(t.Context(), "t/packs/b", k, chunks[1:]); err != nil {
		t.Fatal(err)
	}
	wantPacks(t, x, contexts.Pack{Name: "t/packs/c", Size: 350, Used: 300})
	for i, at := range find(t, x, 1, 2, 3) {
		if at != chunks[i].Location {
			t.Errorf("chunk %d is at %v, want %v", i+1, at, chunks[i].Location)
		}
	}
}

func many(t *testing.T, x contexts.Index) {
	const n = 5000
	numbers := make([]uint64, n)
	for i := range numbers {
		numbers[i] = uint64(i)
	}
	chunks := add(t, x, "t/packs/a", numbers...)
	for i, at := range find(t, x, numbers...) {
		if at != chunks[i].Location {
			t.Fatalf("chunk %d is at %v, want %v", i, at, chunks[i].Location)
		}
	}
	samePacks(t, sweep(t, x, numbers[n/2:]...), []contexts.Pack{{Name: "t/packs/a", Size: n*100 + 50, Used: n / 2 * 100}})
}

func addsAgain(t *testing.T, x contexts.Index) {
	add(t, x, "t/packs/a", 1)
	sweep(t, x)
	wantPacks(t, x)
	b := add(t, x, "t/packs/b", 1)
	if found := find(t, x, 1); found[0] != b[0].Location {
		t.Errorf("chunk 1 is at %v, want %v", found[0], b[0].Location)
	}
}
