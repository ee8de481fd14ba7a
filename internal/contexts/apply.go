package contexts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/agentbay/agentbay"
)

// Apply makes a manifest of root and changes, which come in the order of
// [Compare], a Remove before what is put at or below its path. A file or link
// that is put takes the place of a directory with all that is below it, and
// something that is put below a file takes the place of that file. All that w
// was given is flushed first.
//
// Only the pages that change are written, and equal entries give equal roots.
func (r *Repo) Apply(ctx context.Context, w *Writer, root Root, changes iter.Seq2[Change, error]) (Root, Totals, error) {
	old, err := r.cursor(ctx, root)
	if err != nil {
		return Root{}, Totals{}, err
	}
	m := &merge{ctx: ctx, old: old, out: &builder{w: w}}
	for c, err := range changes {
		if err == nil {
			err = m.change(c)
		}
		if err != nil {
			return Root{}, Totals{}, err
		}
	}
	if err := m.rest(); err != nil {
		return Root{}, Totals{}, err
	}
	return m.out.finish(ctx, root, old.pages)
}

// A merge walks over a manifest and changes at once. Pages that have no part in
// it are taken over unread.
type merge struct {
	ctx     context.Context
	old     *cursor
	out     *builder
	last    Change // the one before
	any     bool   // there was one before
	removed string // all of the old entries within this are gone; "" is none
}

// change takes the next change.
func (m *merge) change(c Change) error {
	if err := m.check(c); err != nil {
		return agentbay.Wrap(err, agentbay.Internal, "the context could not be changed")
	}
	if err := m.until(c.Path, false); err != nil {
		return err
	}
	m.last, m.any = c, true
	if c.Remove || c.Entry.Kind != Dir {
		m.remove(c.Path)
	}
	if c.Remove {
		return nil
	}
	if at, ok := m.old.path(); ok && at == c.Path {
		if err := m.old.step(m.ctx); err != nil {
			return err
		}
	}
	return m.out.put(c.Entry)
}

func (m *merge) check(c Change) error {
	if m.any {
		order := Compare(m.last.Path, c.Path)
		if order > 0 || order == 0 && (c.Remove || !m.last.Remove) {
			return fmt.Errorf("the change of %q comes after that of %q", c.Path, m.last.Path)
		}
	}
	if c.Remove {
		return checkPath(c.Path)
	}
	if c.Path != c.Entry.Path {
		return fmt.Errorf("the change of %q is of %q", c.Path, c.Entry.Path)
	}
	return c.Entry.check()
}

// remove has all that is within path left out from now on.
func (m *merge) remove(path string) {
	if m.removed == "" || !within(path, m.removed) {
		m.removed = path
	}
}

func (m *merge) gone(path string) bool { return m.removed != "" && within(path, m.removed) }

func (m *merge) rest() error { return m.until("", true) }

// until takes over the old entries before path, or all that are left.
func (m *merge) until(path string, all bool) error {
	for {
		at, ok := m.old.path()
		if !ok || !all && Compare(at, path) >= 0 {
			return nil
		}
		if done, err := m.wholePage(path, all); err != nil {
			return err
		} else if done {
			continue
		}
		w, err := m.old.row(m.ctx)
		if err != nil {
			return err
		}
		if !m.gone(w.Path) {
			if err := m.out.add(w, false); err != nil {
				return err
			}
		}
		m.old.next()
	}
}

// wholePage takes over, or leaves out, a page without reading it, if it can.
func (m *merge) wholePage(path string, all bool) (bool, error) {
	p, ok := m.old.whole()
	if !ok {
		return false, nil
	}
	end, more := m.old.end()
	switch {
	case more && m.gone(p.first) && m.gone(end):
		m.old.skip()
		return true, nil
	case m.gone(p.first), !all && (!more || Compare(end, path) > 0):
		return false, nil
	}
	taken, err := m.out.take(p)
	if taken {
		m.old.skip()
	}
	return taken, err
}

// end returns where the page behind the cursor's begins.
func (c *cursor) end() (first string, ok bool) {
	if c.at+1 >= len(c.pages) {
		return "", false
	}
	return c.pages[c.at+1].first, true
}

// A builder makes a manifest of rows.
type builder struct {
	w     *Writer
	pages []page
	rows  []byte // the encoded rows of the page that grows
	page  page   // that page, without its chunk
	last  string // the path before
	paths int    // bytes of the page's paths

	// The row that came last is held back, because what comes next may take its
	// place.
	held    *row
	heldNew bool
}

// put adds a new entry.
func (b *builder) put(e Entry) error {
	w := &row{Entry: e}
	if err := b.list(w); err != nil {
		return err
	}
	return b.add(w, true)
}

// list puts many extents into lists of their own. Where those end is said by the
// extents themselves.
func (b *builder) list(w *row) error {
	if len(w.Extents) <= nearby {
		return nil
	}
	start := 0
	for i, e := range w.Extents {
		ends := e.Chunk[0] == 0 && e.Chunk[1]&(1<<(listBits-8)-1) == 0 && e.Chunk != (ID{})
		if n := i + 1 - start; !ends && n < listMax && i+1 < len(w.Extents) {
			continue
		}
		part := w.Extents[start : i+1]
		id, err := b.w.chunk(encodeList(part))
		if err != nil {
			return err
		}
		w.lists = append(w.lists, extentList{id, int64(len(part))})
		start = i + 1
	}
	w.Extents = nil
	if len(w.lists) > maxLists {
		return agentbay.Errorf(agentbay.Exhausted, "%q is too large, or has too many holes, to be kept", w.Path)
	}
	return nil
}

var errTwice = errors.New("something is put below a file")

// add appends a row. Of a file and something below it, the new one stays.
func (b *builder) add(w *row, isNew bool) error {
	if b.held != nil && b.held.Kind != Dir && Below(w.Path, b.held.Path) {
		switch {
		case isNew == b.heldNew:
			return agentbay.Wrap(errTwice, agentbay.Internal, "the context could not be changed: %q is below a file", w.Path)
		case b.heldNew:
			return nil
		}
		b.held = nil
	}
	if err := b.release(); err != nil {
		return err
	}
	b.held, b.heldNew = w, isNew
	return nil
}

// release appends the row that was held back.
func (b *builder) release() error {
	if b.held == nil {
		return nil
	}
	w := b.held
	b.held = nil
	if b.page.rows == 0 {
		b.page.first, b.last = w.Path, ""
	}
	b.rows = appendRow(b.rows, w, b.last)
	b.last = w.Path
	b.page.rows++
	b.page.count(&w.Entry)
	b.paths += len(w.Path)
	if w.endsPage() || len(b.rows) >= pageBytes || b.page.rows >= int64(pageRows) || b.paths >= pagePaths {
		return b.flush()
	}
	return nil
}

// take appends a page as it is, which it can only behind the end of another.
// None of its rows is below the one that is held back.
func (b *builder) take(p page) (bool, error) {
	if err := b.release(); err != nil || b.page.rows > 0 {
		return false, err
	}
	b.pages = append(b.pages, p)
	return true, nil
}

// flush ends the page that grows.
func (b *builder) flush() error {
	if b.page.rows == 0 {
		return nil
	}
	id, err := b.w.chunk(encodePage(b.rows, b.page.rows))
	if err != nil {
		return err
	}
	b.page.chunk = id
	b.pages = append(b.pages, b.page)
	b.page, b.rows, b.paths = page{}, b.rows[:0], 0
	return nil
}

// finish makes the root and sees that all is durable.
func (b *builder) finish(ctx context.Context, old Root, oldPages []page) (Root, Totals, error) {
	if err := errors.Join(b.release(), b.flush()); err != nil {
		return Root{}, Totals{}, err
	}
	m := &manifest{}
	for _, p := range b.pages {
		m.add(p)
	}
	root := old
	if !slices.Equal(b.pages, oldPages) {
		var err error
		if root, err = b.root(m); err != nil {
			return Root{}, Totals{}, err
		}
	}
	return root, m.Totals, b.w.Flush(ctx)
}

// root stores the root of m.
func (b *builder) root(m *manifest) (Root, error) {
	if len(m.pages) == 0 {
		return Root{}, nil
	}
	paths := 0
	for _, p := range m.pages {
		paths += len(p.first)
	}
	if paths > rootPaths {
		return Root{}, errTooMany
	}
	id, err := b.w.chunk(encodeRoot(m))
	return Root(id), err
}
