package contexts

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// Collected is what a collection did.
type Collected struct {
	Removed   int   // blobs that are gone
	Freed     int64 // bytes of them, less what was written anew
	Rewritten int   // packs that were written anew, into fewer
	Damaged   int   // packs that could not be, because they are damaged
	Bytes     int64 // of packs, now
}

// Collect removes what none of the roots needs: chunks, packs that are left
// empty, and blobs that were never finished. Packs that are mostly garbage, and
// small ones when there are many, are written anew. It may be killed at any
// time; the next one goes on. When something else begins to use the Repo,
// Collect gives way; so what yields the roots must not use it.
//
// Conflict: the Repo is in use; try again later.
// Internal: a root cannot be read; nothing was removed.
func (r *Repo) Collect(ctx context.Context, roots iter.Seq2[Root, error]) (Collected, error) {
	inside, done, ok := r.gate.collect(ctx)
	if !ok {
		return Collected{}, errInUse
	}
	defer done()
	c := &collection{repo: r, ctx: inside, seen: map[ID]bool{}}
	err := c.run(roots)
	if err != nil && inside.Err() != nil && ctx.Err() == nil {
		err = errInUse
	}
	return c.Collected, err
}

var errInUse = agentbay.Errorf(agentbay.Conflict, "the contexts of this key are in use; what they do not need is removed later")

// A collection is a call of Collect. Each step leaves garbage at worst: what is
// needed is marked before anything is forgotten, a blob goes after the index has
// forgotten it, and is in the index after it is durable.
type collection struct {
	Collected
	repo  *Repo
	ctx   context.Context
	seen  map[ID]bool // pages and roots that are marked
	marks []ID        // what will be marked next
}

func (c *collection) run(roots iter.Seq2[Root, error]) error {
	if err := c.mark(roots); err != nil {
		return err
	}
	packs, err := c.repo.index.Sweep(c.ctx)
	if err != nil {
		return err
	}
	c.repo.recent.clear()
	packs = slices.DeleteFunc(packs, func(k Pack) bool { return k.Used == 0 })
	for _, k := range packs {
		c.Bytes += k.Size
	}
	if err := c.removeOthers(packs); err != nil {
		return err
	}
	return c.rewrite(packs)
}

const (
	markBatch = 4096
	seenMax   = 1 << 20 // pages that are remembered, so as not to be read again
)

// mark marks all that is needed.
func (c *collection) mark(roots iter.Seq2[Root, error]) error {
	if err := c.repo.index.Live(c.ctx); err != nil {
		return err
	}
	for root, err := range roots {
		if err = cmp.Or(err, c.ctx.Err()); err != nil {
			return err
		}
		if err := c.markRoot(root); err != nil {
			return err
		}
	}
	return c.flush()
}

func (c *collection) markRoot(root Root) error {
	if root == (Root{}) || c.seen[ID(root)] {
		return nil
	}
	at, err := c.repo.cursor(c.ctx, root)
	if err != nil {
		return err
	}
	for at.straight = true; at.at < len(at.pages); at.skip() {
		if c.seen[at.pages[at.at].chunk] {
			continue
		}
		if err := cmp.Or(c.ctx.Err(), c.markPage(at)); err != nil {
			return err
		}
	}
	return c.saw(ID(root))
}

// saw marks a page or root once all in it is.
func (c *collection) saw(id ID) error {
	if len(c.seen) >= seenMax {
		clear(c.seen)
	}
	c.seen[id] = true
	return c.need(id)
}

func (c *collection) markPage(at *cursor) error {
	if err := at.load(c.ctx); err != nil {
		return err
	}
	for i := range at.rows {
		if err := c.markRow(&at.rows[i]); err != nil {
			return err
		}
	}
	return c.saw(at.pages[at.at].chunk)
}

func (c *collection) markRow(w *row) error {
	for _, l := range w.lists {
		if err := c.need(l.chunk); err != nil {
			return err
		}
	}
	extents, err := c.repo.extents(c.ctx, w)
	if err != nil {
		return err
	}
	return c.need(ids(extents)...)
}

func (c *collection) need(ids ...ID) error {
	c.marks = append(c.marks, ids...)
	if len(c.marks) < markBatch {
		return nil
	}
	return c.flush()
}

func (c *collection) flush() error {
	err := c.repo.index.Mark(c.ctx, c.marks)
	c.marks = c.marks[:0]
	return cmp.Or(err, c.ctx.Err())
}

// removeOthers removes the blobs that are none of packs.
func (c *collection) removeOthers(packs []Pack) error {
	keep := make(map[string]bool, len(packs))
	for _, k := range packs {
		keep[k.Name] = true
	}
	var others []blob.Info
	for info, err := range c.repo.blobs.List(c.ctx, c.repo.packs()) {
		if err != nil {
			return err
		}
		if !keep[info.Name] {
			others = append(others, info)
		}
	}
	for _, info := range others {
		if err := c.remove(info.Name, info.Size); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) remove(name string, size int64) error {
	if err := c.repo.blobs.Delete(c.ctx, name); err != nil {
		return err
	}
	c.Removed++
	c.Freed += size
	return c.ctx.Err()
}

// manySmall is how many small packs are worth the trouble.
const manySmall = 8

// wasteful returns the packs that are worth writing anew.
func wasteful(packs []Pack) []Pack {
	var small, waste []Pack
	for _, k := range packs {
		switch {
		case k.Used < k.Size/2:
			waste = append(waste, k)
		case k.Size < packSize/4:
			small = append(small, k)
		}
	}
	if len(small) >= manySmall {
		waste = append(waste, small...)
	}
	return waste
}

// rewrite writes wasteful packs anew, into as few as possible.
func (c *collection) rewrite(packs []Pack) error {
	w := &rewriting{collection: c}
	defer w.packer.free()
	for _, k := range wasteful(packs) {
		err := w.add(k)
		if d := (*damage)(nil); errors.As(err, &d) {
			c.Damaged++ // it stays: what is damaged can be told by path only while it is known
			continue
		}
		if err == nil && w.packer.size >= packSize {
			err = w.flush()
		}
		if err != nil {
			return err
		}
	}
	return w.flush()
}

// A rewriting makes one pack of some.
type rewriting struct {
	*collection
	packer packer
	old    []Pack
	ends   []int // how many of the packer's chunks there are up to each old pack
}

// add copies the chunks of a pack, each of which it proves.
func (w *rewriting) add(k Pack) error {
	chunks, err := w.repo.index.Chunks(w.ctx, k.Name)
	if err != nil {
		return err
	}
	wants := make([]want, len(chunks))
	for i, c := range chunks {
		wants[i] = want{c.ID, c.Location}
	}
	slices.SortFunc(wants, func(a, b want) int { return cmp.Compare(a.at.Offset, b.at.Offset) })
	var copies []packedPiece
	for _, run := range runs(wants) {
		more, err := w.copies(run)
		if err != nil {
			return err
		}
		copies = append(copies, more...)
	}
	for _, c := range copies { // none of a pack that is damaged
		w.packer.add(c)
	}
	w.old, w.ends = append(w.old, k), append(w.ends, len(w.packer.chunks))
	return w.ctx.Err()
}

// copies reads chunks that lie together.
func (w *rewriting) copies(run []want) ([]packedPiece, error) {
	b, err := w.repo.readRun(w.ctx, run)
	if err != nil {
		return nil, err
	}
	copies := make([]packedPiece, len(run))
	for i, x := range run {
		stored := x.in(b, run)
		if _, err := unpack(x.id, stored, x.at.Size); err != nil {
			return nil, err
		}
		copies[i] = packedPiece{id: x.id, size: x.at.Size, form: stored[0], data: stored[1:]}
	}
	return copies, nil
}

// flush makes the new pack durable, then known in the place of the old ones,
// and then removes those.
func (w *rewriting) flush() error {
	if len(w.old) == 0 {
		return nil
	}
	k, blob := w.packer.finish(w.repo.packs())
	if err := w.repo.blobs.Put(w.ctx, k.Name, blob, k.Size); err != nil {
		return err
	}
	w.Bytes += k.Size
	w.Freed -= k.Size
	start := 0
	for i, old := range w.old {
		if err := w.repo.index.Move(w.ctx, old.Name, k, w.packer.chunks[start:w.ends[i]]); err != nil {
			return err
		}
		if err := w.remove(old.Name, old.Size); err != nil {
			return err
		}
		w.Rewritten++
		w.Bytes -= old.Size
		start = w.ends[i]
	}
	w.packer.free()
	w.old, w.ends = nil, nil
	return nil
}
