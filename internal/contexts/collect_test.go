package contexts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/mem"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/contextstest"
)

func (w *world) collect(t testing.TB, roots ...contexts.Root) contexts.Collected {
	t.Helper()
	c, err := w.Collect(t.Context(), one(roots...))
	must(t, err)
	return c
}

// tidy checks that blobs and index agree, and that a pack is for each.
func (w *world) tidy(t testing.TB) {
	t.Helper()
	packs, err := w.index.Packs(t.Context())
	must(t, err)
	known := map[string]int64{}
	for _, k := range packs {
		known[k.Name] = k.Size
		if k.Used == 0 {
			t.Errorf("pack %s has nothing that is needed", k.Name)
		}
	}
	for info, err := range w.blobs.List(t.Context(), "") {
		must(t, err)
		if known[info.Name] != info.Size {
			t.Errorf("blob %s has %d bytes, the index says %d", info.Name, info.Size, known[info.Name])
		}
		delete(known, info.Name)
	}
	for name := range known {
		t.Errorf("pack %s is in the index and is no blob", name)
	}
}

func TestCollectRemovesWhatNoRootNeeds(t *testing.T) {
	w := newWorld()
	shared, old, new := noise(1, 2_000_000), noise(2, 2_000_000), noise(3, 2_000_000)
	before := map[string][]byte{"shared": shared, "f": old}
	after := map[string][]byte{"shared": shared, "f": new}
	first := w.save(t, contexts.Root{}, before)
	second := w.save(t, first, map[string][]byte{"f": new})
	w.collect(t, first, second)
	w.holds(t, first, before)
	w.holds(t, second, after)
	c := w.collect(t, second)
	w.tidy(t)
	w.holds(t, second, after)
	if n := w.stored(t); n > 4_200_000 || c.Bytes != n {
		t.Errorf("%d bytes are stored, Collect says %d", n, c.Bytes)
	}
	if c.Freed < 1_900_000 {
		t.Errorf("Collect freed %d bytes", c.Freed)
	}
	w.collect(t)
	if n := w.stored(t); n != 0 {
		t.Errorf("without roots %d bytes are left", n)
	}
}

func TestCollectPutsSmallPacksTogether(t *testing.T) {
	w := newWorld()
	root, files := contexts.Root{}, map[string][]byte{}
	for i := range 20 {
		path, content := fmt.Sprintf("f%02d", i), noise(uint64(i), 10_000)
		files[path] = content
		root = w.save(t, root, map[string][]byte{path: content})
	}
	c := w.collect(t, root)
	if c.Rewritten != 20 {
		t.Errorf("%d packs were written anew, want 20", c.Rewritten)
	}
	packs, err := w.index.Packs(t.Context())
	must(t, err)
	if len(packs) != 1 {
		t.Errorf("%d packs are left, want 1", len(packs))
	}
	w.tidy(t)
	w.holds(t, root, files)
	if c := w.collect(t, root); c.Rewritten != 0 || c.Freed != 0 {
		t.Errorf("the next collection did %+v", c)
	}
}

func TestCollectDoesNotRunBesideWriters(t *testing.T) {
	w := newWorld()
	root := w.save(t, contexts.Root{}, map[string][]byte{"a": {1}})
	busy := func(what string) {
		t.Helper()
		if _, err := w.Collect(t.Context(), one(root)); !errors.Is(err, agentbay.Conflict) {
			t.Errorf("Collect beside a %s: %v, want Conflict", what, err)
		}
	}
	writer := w.writer(t)
	busy("Writer")
	must(t, writer.Close())
	must(t, writer.Close()) // twice is not once too often
	f, err := w.Open(t.Context(), w.entries(t, root, "a")[0])
	must(t, err)
	busy("Reader")
	must(t, f.Close())
	must(t, f.Close())
	release, err := w.Hold(t.Context())
	must(t, err)
	busy("Hold")
	release()
	release()
	w.collect(t, root)
}

func TestCollectGivesWay(t *testing.T) {
	w := newWorld()
	root := w.save(t, contexts.Root{}, map[string][]byte{"a": {1}})
	entered := make(chan error)
	roots := func(yield func(contexts.Root, error) bool) {
		if !yield(root, nil) {
			return
		}
		go func() { // someone comes in the middle, and is let in
			release, err := w.Hold(context.Background())
			if err == nil {
				defer release()
			}
			entered <- err
		}()
		for yield(root, nil) {
			if _, err := w.Collect(t.Context(), one(root)); !errors.Is(err, agentbay.Conflict) {
				t.Errorf("two collections: %v, want Conflict", err)
			}
		}
	}
	if _, err := w.Collect(t.Context(), roots); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("Collect: %v, want Conflict", err)
	}
	must(t, <-entered)
	w.holds(t, root, map[string][]byte{"a": {1}})
}

// spoil changes a bit in each pack that is picked.
func spoil(t *testing.T, w *world, at func(info blob.Info) int64) {
	t.Helper()
	for info, err := range w.blobs.List(t.Context(), "") {
		must(t, err)
		r, err := w.blobs.Get(t.Context(), info.Name, 0, -1)
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		r.Close()
		if i := at(info); i >= 0 {
			b[i] ^= 4
			must(t, w.blobs.Put(t.Context(), info.Name, bytes.NewReader(b), int64(len(b))))
		}
	}
}

func TestDamageIsToldByPathAndNotServed(t *testing.T) {
	w := newWorld()
	files := map[string][]byte{"bad": noise(1, 1000), "good": noise(2, 1000)}
	root := w.save(t, contexts.Root{}, files)
	bad := w.entries(t, root, "bad")[0]
	at, err := w.index.Find(t.Context(), []contexts.ID{bad.Extents[0].Chunk})
	must(t, err)
	spoil(t, w, func(blob.Info) int64 { return at[0].Offset + 500 })
	f, err := w.Open(t.Context(), bad)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	if len(b) > 0 || !errors.Is(err, agentbay.Internal) || !strings.Contains(agentbay.MessageOf(err), `"bad"`) {
		t.Errorf("reading a damaged file: %d bytes, %v", len(b), err)
	}
	if got := w.damaged(t, root); !slices.Equal(got, []string{"bad"}) {
		t.Errorf("damaged are %q, want bad", got)
	}
	if !bytes.Equal(w.read(t, w.entries(t, root, "good")[0]), files["good"]) {
		t.Error("the other file cannot be read any more")
	}
}

func (w *world) damaged(t testing.TB, root contexts.Root) (paths []string) {
	t.Helper()
	for path, err := range w.Verify(t.Context(), root) {
		if !errors.Is(err, agentbay.Internal) || errors.Is(err, agentbay.Unavailable) {
			t.Errorf("Verify: %v, want Internal", err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestNoDamagedByteIsServed(t *testing.T) {
	w := newWorld()
	files := map[string][]byte{"a": []byte(strings.Repeat("text ", 300)), "b/c": noise(2, 900), "d": {1, 2, 3}}
	root := w.save(t, contexts.Root{}, files)
	for i := int64(0); ; i += 7 {
		damagedWorld := copyOf(t, w)
		ended := false
		spoil(t, damagedWorld, func(info blob.Info) int64 {
			if ended = i >= info.Size; ended {
				return -1
			}
			return i
		})
		if ended {
			return
		}
		told := len(damagedWorld.damaged(t, root))
		for c, err := range damagedWorld.Contents(t.Context(), damagedWorld.Entries(t.Context(), root, "")) {
			if err != nil {
				told++
				break
			}
			b, err := io.ReadAll(c.File)
			c.File.Close()
			if err == nil && !bytes.Equal(b, files[c.Path]) {
				t.Fatalf("with byte %d damaged, %s is served wrong", i, c.Path)
			}
		}
		if _, err := damagedWorld.Collect(t.Context(), one(root)); err != nil && told == 0 {
			t.Errorf("with byte %d damaged, Collect fails and Verify finds nothing: %v", i, err)
		}
	}
}

// copyOf has the same blobs, and an index made of them.
func copyOf(t *testing.T, w *world) *world {
	t.Helper()
	c := newWorld()
	for info, err := range w.blobs.List(t.Context(), "") {
		must(t, err)
		r, err := w.blobs.Get(t.Context(), info.Name, 0, -1)
		must(t, err)
		must(t, c.blobs.Put(t.Context(), info.Name, r, info.Size))
		r.Close()
	}
	_, _, err := c.Reindex(t.Context())
	must(t, err)
	return c
}

func TestALostIndexIsMadeAnew(t *testing.T) {
	w := newWorld()
	files := map[string][]byte{"a": noise(1, 20<<20), "b": []byte("b"), "c": noise(2, 300_000)}
	root := w.save(t, contexts.Root{}, files)
	root = w.save(t, root, map[string][]byte{"b": []byte("new")})
	files["b"] = []byte("new")
	must(t, w.blobs.Put(t.Context(), "tenant/packs/00/short", strings.NewReader("short"), 5))
	must(t, w.blobs.Put(t.Context(), "tenant/packs/00/long", bytes.NewReader(noise(9, 5000)), 5000))
	again := &world{nil, w.blobs, contextstest.NewIndex()}
	again.Repo = contexts.New("tenant", w.blobs, again.index)
	packs, damaged, err := again.Reindex(t.Context())
	if err != nil || packs < 2 || damaged != 2 {
		t.Errorf("Reindex: %d packs, %d damaged, %v", packs, damaged, err)
	}
	again.holds(t, root, files)
	again.collect(t, root)
	again.tidy(t)
}

func TestTenantsShareNothing(t *testing.T) {
	blobs := new(mem.Store)
	x, y := contextstest.NewIndex(), contextstest.NewIndex()
	a, b := &world{contexts.New("a", blobs, x), blobs, x}, &world{contexts.New("ab", blobs, y), blobs, y}
	files := map[string][]byte{"f": noise(1, 100_000)}
	root := a.save(t, contexts.Root{}, files)
	if again := b.save(t, contexts.Root{}, files); again != root {
		t.Error("equal entries have different roots")
	}
	if n := a.stored(t); n < 200_000 {
		t.Errorf("equal content of two tenants takes %d bytes together", n)
	}
	b.collect(t)
	a.holds(t, root, files)
}

// A saga is a story of saves and collections that is told with every fault.
type saga struct {
	states []map[string][]byte
}

func newSaga() *saga {
	big := noise(100, 600_000)
	one := map[string][]byte{"a": noise(1, 2000), "d/b": []byte(strings.Repeat("b", 5000)), "d/big": big, "e": {}}
	two := maps.Clone(one)
	two["a"], two["d/c"] = noise(2, 3000), noise(3, 100)
	three := map[string][]byte{"a": two["a"], "d/big": append(bytes.Clone(big), 1), "z": noise(4, 100)}
	return &saga{[]map[string][]byte{one, two, three}}
}

// changes are what makes state i of the state before.
func (s *saga) changes(w *contexts.Writer, i int) ([]contexts.Change, error) {
	var changes []contexts.Change
	for _, path := range slices.SortedFunc(maps.Keys(s.states[i]), contexts.Compare) {
		content := s.states[i][path]
		extents, n, err := w.File(context.Background(), bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return nil, err
		}
		e := contexts.Entry{Path: path, Kind: contexts.File, Modified: when, Saved: when, Size: n, Extents: extents}
		changes = append(changes, put(e))
	}
	if i > 0 {
		for path := range s.states[i-1] {
			if _, ok := s.states[i][path]; !ok {
				changes = append(changes, remove(path))
			}
		}
	}
	slices.SortFunc(changes, func(a, b contexts.Change) int { return contexts.Compare(a.Path, b.Path) })
	return changes, nil
}

// tell saves state after state, and collects after each. It returns how many
// were committed, with the last root, and stops at the first error if stop is set.
func (s *saga) tell(r *contexts.Repo, from int, root contexts.Root) (int, contexts.Root, error) {
	for i := from; i < len(s.states); i++ {
		next, err := s.save(r, root, i)
		if err != nil {
			return i, root, err
		}
		root = next // this is the commit
		if _, err := r.Collect(context.Background(), one(root)); err != nil {
			return i + 1, root, err
		}
	}
	return len(s.states), root, nil
}

func (s *saga) save(r *contexts.Repo, root contexts.Root, i int) (contexts.Root, error) {
	w, err := r.Writer(context.Background())
	if err != nil {
		return root, err
	}
	defer w.Close()
	changes, err := s.changes(w, i)
	if err != nil {
		return root, err
	}
	next, _, err := r.Apply(context.Background(), w, root, seq(changes...))
	return next, err
}

// survive checks what is promised after a fault, and tells the rest of the saga.
func (s *saga) survive(t *testing.T, w *world, done int, root contexts.Root) {
	t.Helper()
	expect := map[string][]byte{}
	if done > 0 {
		expect = s.states[done-1]
	}
	w.survives(t, root, expect)
	done, root, err := s.tell(w.Repo, done, root)
	must(t, err)
	w.tidy(t)
	w.holds(t, root, s.states[done-1])
}

func TestEveryFaultOfTheBlobStoreIsSurvived(t *testing.T) {
	contexts.SmallPacks(t)
	s := newSaga()
	blobtest.Sweep(t, func(*testing.T) blob.Store { return new(mem.Store) }, func(t *testing.T, f *blobtest.Faulty) {
		x := contextstest.NewIndex()
		done, root, err := s.tell(contexts.New("tenant", f, x), 0, contexts.Root{})
		if err == nil && done != len(s.states) {
			t.Errorf("%d states were saved without an error", done)
		}
		again := &world{contexts.New("tenant", f.Store, x), f.Store, x}
		s.survive(t, again, done, root)
	})
}

func TestEveryFaultOfTheIndexIsSurvived(t *testing.T) {
	contexts.SmallPacks(t)
	s := newSaga()
	for _, killed := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for at, struck := 1, true; struck && !t.Failed(); at++ {
				blobs, x := new(mem.Store), contextstest.NewIndex()
				f := &faultyIndex{Index: x, at: at, killed: killed, after: after}
				done, root, err := s.tell(contexts.New("tenant", blobs, f), 0, contexts.Root{})
				if struck = f.calls.Load() >= int64(at); struck && err == nil {
					t.Errorf("call %d of the index failed, and nobody was told", at)
				}
				s.survive(t, &world{contexts.New("tenant", blobs, x), blobs, x}, done, root)
			}
		}
	}
}

// A faultyIndex fails in one call, before or after it has taken effect, and, if
// it is killed, in all after that.
type faultyIndex struct {
	contexts.Index
	at            int
	killed, after bool
	calls         atomic.Int64
}

var errFault = agentbay.Errorf(agentbay.Unavailable, "the index fails; this is a test")

// run makes a call fail or not.
func (f *faultyIndex) run(call func() error) error {
	n := int(f.calls.Add(1))
	if n < f.at || n > f.at && !f.killed {
		return call()
	}
	if n == f.at && f.after {
		if err := call(); err != nil {
			return err
		}
	}
	return errFault
}

func (f *faultyIndex) Find(ctx context.Context, ids []contexts.ID) (found []contexts.Location, err error) {
	err = f.run(func() error { found, err = f.Index.Find(ctx, ids); return err })
	return found, err
}

func (f *faultyIndex) Add(ctx context.Context, pack contexts.Pack, chunks []contexts.Chunk) error {
	return f.run(func() error { return f.Index.Add(ctx, pack, chunks) })
}

func (f *faultyIndex) Packs(ctx context.Context) (packs []contexts.Pack, err error) {
	err = f.run(func() error { packs, err = f.Index.Packs(ctx); return err })
	return packs, err
}

func (f *faultyIndex) Live(ctx context.Context) error {
	return f.run(func() error { return f.Index.Live(ctx) })
}

func (f *faultyIndex) Mark(ctx context.Context, ids []contexts.ID) error {
	return f.run(func() error { return f.Index.Mark(ctx, ids) })
}

func (f *faultyIndex) Sweep(ctx context.Context) (packs []contexts.Pack, err error) {
	err = f.run(func() error { packs, err = f.Index.Sweep(ctx); return err })
	return packs, err
}

func (f *faultyIndex) Chunks(ctx context.Context, pack string) (chunks []contexts.Chunk, err error) {
	err = f.run(func() error { chunks, err = f.Index.Chunks(ctx, pack); return err })
	return chunks, err
}

func (f *faultyIndex) Move(ctx context.Context, old string, pack contexts.Pack, chunks []contexts.Chunk) error {
	return f.run(func() error { return f.Index.Move(ctx, old, pack, chunks) })
}

// manySmallPacks is a state that is worth writing anew.
func (w *world) manySmallPacks(t *testing.T) (root contexts.Root, files map[string][]byte) {
	files = map[string][]byte{}
	for i := range 10 {
		path, content := fmt.Sprint(i), noise(uint64(i), 1000)
		files[path] = content
		root = w.save(t, root, map[string][]byte{path: content})
	}
	return root, files
}

func TestRewritingSurvivesEveryFaultOfTheBlobStore(t *testing.T) {
	blobtest.Sweep(t, func(*testing.T) blob.Store { return new(mem.Store) }, func(t *testing.T, f *blobtest.Faulty) {
		x := contextstest.NewIndex()
		w := &world{contexts.New("tenant", f.Store, x), f.Store, x}
		root, files := w.manySmallPacks(t)
		contexts.New("tenant", f, x).Collect(t.Context(), one(root))
		w.survives(t, root, files)
	})
}

func TestRewritingSurvivesEveryFaultOfTheIndex(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at, struck := 1, true; struck && !t.Failed(); at++ {
			w := newWorld()
			root, files := w.manySmallPacks(t)
			f := &faultyIndex{Index: w.index, at: at, killed: true, after: after}
			contexts.New("tenant", w.blobs, f).Collect(t.Context(), one(root))
			struck = f.calls.Load() >= int64(at)
			w.survives(t, root, files)
		}
	}
}

// survives checks that root can be read, before and after the next collection,
// which leaves no garbage.
func (w *world) survives(t *testing.T, root contexts.Root, files map[string][]byte) {
	t.Helper()
	w.holds(t, root, files)
	w.collect(t, root)
	w.tidy(t)
	w.holds(t, root, files)
}

func TestADamagedPackIsNotRewritten(t *testing.T) {
	w := newWorld()
	root, _ := w.manySmallPacks(t)
	bad := w.entries(t, root, "4")[0]
	at, err := w.index.Find(t.Context(), []contexts.ID{bad.Extents[0].Chunk})
	must(t, err)
	spoil(t, w, func(info blob.Info) int64 {
		if info.Name == at[0].Pack {
			return at[0].Offset + 9
		}
		return -1
	})
	if c := w.collect(t, root); c.Damaged != 1 || c.Rewritten < 8 {
		t.Errorf("Collect did %+v", c)
	}
	if got := w.damaged(t, root); !slices.Equal(got, []string{"4"}) {
		t.Errorf("damaged are %q, want 4", got)
	}
}
