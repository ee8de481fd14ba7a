package index

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/contextstest"
)

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestIndex(t *testing.T) {
	contextstest.RunIndex(t, func(t *testing.T) contexts.Index { return open(t, Memory).Tenant("a") })
}

// id is a chunk's: spread like a hash.
func id(n int) (id contexts.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

// chunks are those numbered from first, one byte after the other in a pack.
func chunks(pack string, first, n int) (all []contexts.Chunk) {
	for i := range n {
		all = append(all, contexts.Chunk{ID: id(first + i), Location: contexts.Location{Pack: pack, Offset: int64(10 * i), Stored: 10, Size: 100}})
	}
	return all
}

func ids(first, n int) (all []contexts.ID) {
	for i := range n {
		all = append(all, id(first+i))
	}
	return all
}

func used(t *testing.T, packs []contexts.Pack, err error) map[string]int64 {
	t.Helper()
	must(t, err)
	m := map[string]int64{}
	for _, p := range packs {
		m[p.Name] = p.Used
	}
	return m
}

func TestManyAreFoundInTheOrderAskedFor(t *testing.T) {
	x := open(t, Memory).Tenant("a")
	const n = 3*batch + 7
	must(t, x.Add(t.Context(), contexts.Pack{Name: "p", Size: 10 * n}, chunks("p", 0, n)))
	ask := ids(-1, n+2)
	slices.Reverse(ask)
	ask = append(ask, ask[5])
	found, err := x.Find(t.Context(), ask)
	must(t, err)
	if len(found) != len(ask) || found[0] != (contexts.Location{}) || found[n+1] != (contexts.Location{}) {
		t.Fatalf("%d found, at the ends %v and %v; want %d and nothing", len(found), found[0], found[n+1], len(ask))
	}
	for i, loc := range found[1 : n+1] {
		if want := (contexts.Location{Pack: "p", Offset: int64(10 * (n - 1 - i)), Stored: 10, Size: 100}); loc != want {
			t.Fatalf("place %d: %+v, want %+v", i+1, loc, want)
		}
	}
	if found[n+2] != found[5] {
		t.Errorf("asked for twice: %v and %v", found[5], found[n+2])
	}
}

func TestTenantsShareNothing(t *testing.T) {
	f, ctx := open(t, Memory), t.Context()
	a, b := f.Tenant("a"), f.Tenant("b")
	must(t, a.Add(ctx, contexts.Pack{Name: "p", Size: 20}, chunks("p", 0, 2)))
	if found, err := b.Find(ctx, ids(0, 2)); err != nil || found[0].Pack != "" {
		t.Errorf("b finds %v, %v of a", found, err)
	}
	must(t, b.Add(ctx, contexts.Pack{Name: "p", Size: 10}, chunks("p", 0, 1)))
	must(t, b.Live(ctx))
	if _, err := b.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if found, err := a.Find(ctx, ids(0, 2)); err != nil || found[1].Pack != "p" {
		t.Errorf("after b's collection a finds %v, %v", found, err)
	}
	must(t, f.DropTenant(ctx, "a"))
	must(t, f.DropTenant(ctx, "a"))
	packs, err := a.Packs(ctx)
	found, err2 := a.Find(ctx, ids(0, 2))
	if err != nil || err2 != nil || len(packs) != 0 || found[0].Pack != "" {
		t.Errorf("dropped tenant has %v, %v and finds %v, %v", packs, err, found, err2)
	}
	must(t, a.Add(ctx, contexts.Pack{Name: "p", Size: 20}, chunks("p", 0, 2)))
}

func TestNothingIsKnownOfANewTenant(t *testing.T) {
	x, ctx := open(t, Memory).Tenant("a"), t.Context()
	must(t, x.Live(ctx))
	must(t, x.Mark(ctx, ids(0, 3)))
	for name, list := range map[string]func(context.Context) ([]contexts.Pack, error){"Packs": x.Packs, "Sweep": x.Sweep} {
		if packs, err := list(ctx); err != nil || len(packs) != 0 {
			t.Errorf("%s = %v, %v", name, packs, err)
		}
	}
	if none, err := x.Find(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("Find of nothing = %v, %v", none, err)
	}
}

func TestUsedIsWhatIsInTheIndex(t *testing.T) {
	x, ctx := open(t, Memory).Tenant("a"), t.Context()
	must(t, x.Add(ctx, contexts.Pack{Name: "p", Size: 100}, chunks("p", 0, 4)))
	must(t, x.Add(ctx, contexts.Pack{Name: "q", Size: 100}, chunks("q", 2, 4)))
	must(t, x.Add(ctx, contexts.Pack{Name: "p", Size: 100}, chunks("p", 0, 4)))
	packs, err := x.Packs(ctx)
	if got := used(t, packs, err); got["p"] != 40 || got["q"] != 20 {
		t.Errorf("used: %v, want p 40, q 20", got)
	}
	must(t, x.Live(ctx))
	must(t, x.Mark(ctx, ids(0, 1)))
	must(t, x.Live(ctx))
	must(t, x.Mark(ctx, ids(3, 1)))
	swept, err := x.Sweep(ctx)
	if got := used(t, swept, err); len(got) != 1 || got["p"] != 10 {
		t.Errorf("swept: %v, want p 10", got)
	}
	packs, err = x.Packs(ctx)
	if got := used(t, packs, err); len(got) != 1 || got["p"] != 10 {
		t.Errorf("left: %v, want p 10", got)
	}
}

func TestMovedChunksAreInTheNewPack(t *testing.T) {
	x, ctx := open(t, Memory).Tenant("a"), t.Context()
	must(t, x.Add(ctx, contexts.Pack{Name: "p", Size: 40}, chunks("p", 0, 4)))
	must(t, x.Add(ctx, contexts.Pack{Name: "q", Size: 20}, chunks("q", 4, 2)))
	merged := contexts.Pack{Name: "r", Size: 60}
	if err := x.Move(ctx, "p", merged, chunks("r", 1, 3)); !errors.Is(err, agentbay.Internal) {
		t.Errorf("Move that leaves a chunk behind: %v, want Internal", err)
	}
	if found, err := x.Find(ctx, ids(0, 2)); err != nil || found[0].Pack != "p" || found[1].Pack != "p" {
		t.Errorf("a refused Move changed %v, %v", found, err)
	}
	must(t, x.Move(ctx, "p", merged, chunks("r", 0, 4)))
	must(t, x.Move(ctx, "q", merged, chunks("r", 4, 2)))
	packs, err := x.Packs(ctx)
	if got := used(t, packs, err); len(got) != 1 || got["r"] != 60 {
		t.Errorf("packs: %v, want r 60", got)
	}
	found, err := x.Find(ctx, ids(0, 6))
	must(t, err)
	for i, loc := range found {
		if loc.Pack != "r" {
			t.Errorf("chunk %d is at %+v", i, loc)
		}
	}
	in, err := x.Chunks(ctx, "r")
	if err != nil || len(in) != 6 {
		t.Errorf("Chunks = %v, %v; want 6", in, err)
	}
	if in, err := x.Chunks(ctx, "p"); err != nil || len(in) != 0 {
		t.Errorf("Chunks of the old pack = %v, %v", in, err)
	}
}

func TestIndexIsThereAgainWhenOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chunks.db")
	f := open(t, path)
	must(t, f.Tenant("a").Add(t.Context(), contexts.Pack{Name: "p", Size: 20}, chunks("p", 0, 2)))
	must(t, f.Close())
	if found, err := open(t, path).Tenant("a").Find(t.Context(), ids(0, 2)); err != nil || found[1].Pack != "p" {
		t.Errorf("found %v, %v", found, err)
	}
}

// 200 000 small files, the first time.
func BenchmarkAdd200000(b *testing.B) {
	for b.Loop() {
		f := open(b, filepath.Join(b.TempDir(), "chunks.db"))
		for n := range 20 {
			name := string(rune('a' + n))
			must(b, f.Tenant("a").Add(b.Context(), contexts.Pack{Name: name, Size: 1 << 25}, chunks(name, 10_000*n, 10_000)))
		}
	}
}

func filled(b *testing.B) contexts.Index {
	x := open(b, filepath.Join(b.TempDir(), "chunks.db")).Tenant("a")
	must(b, x.Add(b.Context(), contexts.Pack{Name: "p", Size: 1 << 25}, chunks("p", 0, 200_000)))
	return x
}

func BenchmarkFind500(b *testing.B) {
	x, n := filled(b), 0
	for b.Loop() {
		if _, err := x.Find(b.Context(), ids(n%200_000, 500)); err != nil {
			b.Fatal(err)
		}
		n += 500
	}
}

func BenchmarkCollect200000(b *testing.B) {
	x := filled(b)
	for b.Loop() {
		must(b, x.Live(b.Context()))
		for n := 0; n < 200_000; n += 10_000 {
			must(b, x.Mark(b.Context(), ids(n, 10_000)))
		}
		if packs, err := x.Sweep(b.Context()); err != nil || len(packs) != 1 || packs[0].Used != 10*200_000 {
			b.Fatal(packs, err)
		}
	}
}
