package tree_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/mem"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

// flat checks the head out until its layers were put together.
func (w *world) flat(c *tree.Cache) *tree.Checkout {
	w.t.Helper()
	for range 10_000 {
		if out := w.checkout(c); len(out.Layers) == 1 {
			return out
		}
		select {
		case <-w.t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	w.t.Fatal("layers are never put together")
	return nil
}

func TestAnEmptyContextHasNoLayers(t *testing.T) {
	w := newWorld(t)
	if out := w.checkout(w.cache); len(out.Layers) != 0 {
		t.Errorf("an empty context has the layers %q, want none", out.Layers)
	}
}

func TestManyStatesShareLayers(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	for i := range 10 {
		s.write(fmt.Sprintf("dir/%d", i), "x")
	}
	s.save()
	first := w.checkout(w.cache)
	s.write("dir/0", "y")
	s.save()
	second := w.checkout(w.cache)
	if len(second.Layers) != 2 || second.Layers[1] != first.Layers[0] {
		t.Errorf("a state with one change has the layers %q over %q, want one more", second.Layers, first.Layers)
	}
	if got := seen(t, second.Layers[0]); len(got) != 2 {
		t.Errorf("the new layer has %v, want the changed file and its directory", got)
	}
	if again := w.checkout(w.cache); again.ID != second.ID {
		t.Errorf("the same state again is %s, want %s", again.ID, second.ID)
	}
	s.write("other/mount", "z")
	s.save()
	s.world.use(agentbay.ContextMount{Path: "/tmp/data/dir"})
	s.world.checkout(w.cache)
	s.world.head = w.head
}

func TestAChangeElsewhereCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"in/a": "0", "out/b": "0"})
	all := w.mount
	w.use(agentbay.ContextMount{Path: "/tmp/data/in"})
	before := w.checkout(w.cache)
	w.use(all)
	w.session().write2(t, map[string]string{"out/b": "1"})
	w.use(agentbay.ContextMount{Path: "/tmp/data/in"})
	if after := w.checkout(w.cache); !slices.Equal(after.Layers, before.Layers) {
		t.Errorf("after a change elsewhere the layers are %q, want %q", after.Layers, before.Layers)
	}
}

func TestManyLayersBecomeOne(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	for i := range 13 {
		s.write(fmt.Sprintf("d%d/kept", i), "x")
		s.write(fmt.Sprintf("d%d/gone", i), "x")
		if i > 0 {
			must(t, os.RemoveAll(s.path(fmt.Sprintf("d%d/gone", i-1))))
			must(t, os.Remove(s.path("link")))
		}
		must(t, os.Symlink(fmt.Sprint(i), s.path("link")))
		if i == 9 {
			must(t, os.RemoveAll(s.path("d3")))
			s.write("d3", "a file now")
		}
		s.save()
		w.checkout(w.cache)
	}
	equal(t, "one layer", w.over(w.flat(w.cache)).Merged, s.Merged)
}

func TestACheckoutOfMoreLayersThanAMountTakesIsOne(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	for i := range 40 {
		s.write("a", fmt.Sprint(i))
		s.save()
		if out := w.checkout(w.cache); len(out.Layers) > 32 {
			t.Fatalf("a checkout has %d layers", len(out.Layers))
		}
	}
	equal(t, "the last state", w.session().Merged, s.Merged)
}

func TestCheckoutsOfTheSameAtOnceAreDoneOnce(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"a": "0", "b/c": "0"})
	cold := openCache(t, t.TempDir(), 0)
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			out, err := cold.Checkout(t.Context(), w.repo, w.head, w.view, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer out.Release()
			ids[i] = out.ID
		})
	}
	all.Wait()
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("eight checkouts of the same are %q, want one", ids)
	}
}

func TestWhatIsHeldOutlivesTheProcessAndTheLimit(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"a": "0"})
	dir := t.TempDir()
	first := openCache(t, dir, 0)
	held := w.checkout(first)
	w.session().write2(t, map[string]string{"a": "1"})
	idle, err := first.Checkout(t.Context(), w.repo, w.head, w.view, nil)
	must(t, err)
	idle.Release()
	must(t, os.Mkdir(filepath.Join(dir, "tmp", "half-made"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "layers", "unknown"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "stacks", "torn.json"), []byte(`{"Boot":`), 0o600))

	next := openCache(t, dir, 0) // the first is killed, not closed
	again, err := next.Hold(held.ID)
	must(t, err)
	if !slices.Equal(again.Layers, held.Layers) {
		t.Errorf("Hold after a restart has the layers %q, want %q", again.Layers, held.Layers)
	}
	if _, err := next.Trim(0); err != nil {
		t.Error(err)
	}
	for _, layer := range again.Layers {
		if _, err := os.Stat(filepath.Join(layer, "a")); err != nil {
			t.Errorf("a held layer after Trim: %v", err)
		}
	}
	if _, err := next.Hold(idle.ID); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Hold of what was trimmed: %v, want NotFound", err)
	}
	again.Release()
	again.Release()
	if _, err := next.Trim(0); err != nil {
		t.Error(err)
	}
	must(t, next.Close())
	for _, sub := range []string{"layers", "stacks", "tmp"} {
		left, err := os.ReadDir(filepath.Join(dir, sub))
		must(t, err)
		if len(left) > 0 {
			t.Errorf("an empty cache has %v in %s", left, sub)
		}
	}
	if n := next.Size(); n != 0 {
		t.Errorf("an empty cache has %d bytes", n)
	}
}

func TestAnotherBootsCheckoutsAreDropped(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"a": "0"})
	dir := t.TempDir()
	c := openCache(t, dir, 0)
	out := w.checkout(c)
	record := filepath.Join(dir, "stacks", out.ID+".json")
	b, err := os.ReadFile(record)
	must(t, err)
	must(t, os.WriteFile(record, slices.Replace(b, 9, 12, []byte("xyz")...), 0o600))
	if _, err := openCache(t, dir, 0).Hold(out.ID); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Hold of what another boot made: %v, want NotFound", err)
	}
}

// Whatever fails, and whenever: there is no half of a checkout, the cache has
// no garbage, and the next try is complete.
func TestACheckoutThatFailsLeavesNothing(t *testing.T) {
	blobs := &blobtest.Faulty{Store: new(mem.Store)}
	w := worldOn(t, blobs)
	s := w.session()
	for i := range 20 {
		s.write(fmt.Sprintf("d%d/a", i), fmt.Sprint("content", i))
	}
	s.save()
	dir := t.TempDir()
	c := openCache(t, dir, 0)
	n := 0
	for struck := true; struck; {
		n++
		blobs.Set(blobtest.Fail(blobtest.Any, n))
		out, err := c.Checkout(t.Context(), w.repo, w.head, w.view, nil)
		if struck = blobs.Struck(); struck != (err != nil) {
			t.Errorf("checkout with fault %d: %v", n, err)
		}
		if err == nil {
			blobs.Set(blobtest.Fault{})
			equal(t, "after faults", w.over(out).Merged, s.Merged)
			out.Release()
			break
		}
		for _, sub := range []string{"layers", "stacks", "tmp"} {
			if left, _ := os.ReadDir(filepath.Join(dir, sub)); len(left) > 0 {
				t.Fatalf("a failed checkout leaves %v in %s", left, sub)
			}
		}
	}
	if n < 2 {
		t.Error("no fault was met")
	}
}

// Damaged content is never shown.
func TestDamagedContentIsNotCheckedOut(t *testing.T) {
	blobs := &blobtest.Faulty{Store: new(mem.Store)}
	w := worldOn(t, blobs)
	s := w.session()
	for i := range 20 {
		s.write(fmt.Sprintf("d%d/a", i), fmt.Sprint("content", i))
	}
	s.save()
	c := openCache(t, t.TempDir(), 0)
	for n := 1; ; n++ {
		blobs.Set(blobtest.Flip(n))
		out, err := c.Checkout(t.Context(), w.repo, w.head, w.view, nil)
		if err == nil {
			defer out.Release()
			if blobs.Struck() {
				blobs.Set(blobtest.Fault{})
				equal(t, "a bit that did not matter", w.over(out).Merged, s.Merged)
			}
			return
		}
	}
}

// Whatever fails, and whenever: the context is what it was, the session's
// memory too, and the next save has everything.
func TestASaveThatFailsIsDoneByTheNext(t *testing.T) {
	for n := 1; n < 100; n++ {
		blobs := &blobtest.Faulty{Store: new(mem.Store)}
		w := worldOn(t, blobs)
		s := w.session()
		s.write2(t, map[string]string{"a": "0", "dir/b": "0", "gone": "0"})
		head := w.head
		must(t, os.Remove(s.path("gone")))
		s.write("a", "1")
		s.write("dir/c", "1")
		blobs.Set(blobtest.Fail(blobtest.Any, n))
		_, err := s.trySave(t.Context(), new(tree.Progress))
		struck := blobs.Struck()
		blobs.Set(blobtest.Fault{})
		if err != nil && w.head != head {
			t.Errorf("fault %d: a save that failed switched the context", n)
		}
		s.save()
		s.after2(map[string]string{"a": "1", "dir/b": "0", "dir/c": "1"})
		left, _ := filepath.Glob(s.Memory + ".new*")
		if len(left) > 0 {
			t.Errorf("fault %d: %v is left behind", n, left)
		}
		if !struck {
			return
		}
	}
	t.Error("a small save has a hundred operations")
}

// Whatever fails, and whenever: what came of a load is not the session's.
func TestALoadThatFailsIsNotSaved(t *testing.T) {
	for n := 1; n < 100; n++ {
		blobs := &blobtest.Faulty{Store: new(mem.Store)}
		w := worldOn(t, blobs)
		w.session().write2(t, map[string]string{"a": "0", "b": "0", "dir/c": "0"})
		s := w.session()
		s.write("a", "local")
		s.save()
		w.session().write2(t, map[string]string{"a": "1", "b": "1", "dir/c": "1", "dir/new": "1"})
		head := w.head
		blobs.Set(blobtest.Fail(blobtest.Any, n))
		err := tree.Load(t.Context(), w.repo, w.head, s.Tree, "", nil)
		struck := blobs.Struck()
		blobs.Set(blobtest.Fault{})
		s.save()
		if w.head != head {
			for c, err := range w.repo.Diff(t.Context(), head, w.head, "") {
				t.Errorf("fault %d: after a load (%v), a save changes %s %v", n, err, c.Path, c.Entry)
			}
		}
		if err == nil {
			if got, _ := os.ReadFile(s.path("dir/new")); string(got) != "1" {
				t.Errorf("fault %d: a load that did not fail has %q, want what was saved", n, got)
			}
		}
		if !struck {
			return
		}
	}
	t.Error("a small load has a hundred operations")
}

// What a context claims to hold costs next to nothing to store, if it is all alike.
func TestACheckoutStopsWhereTheHostHasNoRoom(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	for i := range 3 {
		s.write(fmt.Sprint("large", i), strings.Repeat("the same again, ", 3<<20))
	}
	s.save()
	dir := t.TempDir()
	c, short := openCache(t, dir, 0), true
	c.Room = func() error {
		if short {
			return agentbay.Errorf(agentbay.Exhausted, "short of disk space")
		}
		return nil
	}
	if _, err := c.Checkout(t.Context(), w.repo, w.head, w.view, nil); !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("without room: %v, want Exhausted", err)
	}
	for _, sub := range []string{"layers", "stacks", "tmp"} {
		if left, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", sub, left, err)
		}
	}
	short = false
	equal(t, "with room", w.over(w.checkout(c)).Merged, s.Merged)
}
