package contexts

import (
	"context"
	"iter"
	"strings"

	"github.com/agentbay/agentbay"
)

// Entries yields the entry at prefix, if there is one, and all below it, in the
// order of [Compare]. The prefix "" is everything.
func (r *Repo) Entries(ctx context.Context, root Root, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := r.entries(ctx, root, prefix, func(e Entry) bool { return yield(e, nil) }); err != nil {
			yield(Entry{}, err)
		}
	}
}

func (r *Repo) entries(ctx context.Context, root Root, prefix string, yield func(Entry) bool) error {
	c, done, err := r.enter(ctx, root, prefix)
	if err != nil {
		return err
	}
	defer done()
	for {
		path, ok := c.path()
		if !ok || !within(path, prefix) {
			return nil
		}
		e, err := c.entry(ctx)
		if err != nil {
			return err
		}
		c.next()
		if !yield(e) {
			return nil
		}
	}
}

// enter keeps collections out until done, and goes to a path in root.
func (r *Repo) enter(ctx context.Context, root Root, path string) (c *cursor, done func(), err error) {
	if err := r.gate.enter(ctx); err != nil {
		return nil, nil, err
	}
	if c, err = r.cursor(ctx, root); err == nil {
		err = c.seek(ctx, path)
	}
	if err != nil {
		r.gate.leave()
		return nil, nil, err
	}
	return c, r.gate.leave, nil
}

// entry returns the entry at the cursor in full.
func (c *cursor) entry(ctx context.Context) (Entry, error) {
	w, err := c.row(ctx)
	if err != nil {
		return Entry{}, err
	}
	e := w.Entry
	e.Extents, err = c.repo.extents(ctx, w)
	return e, err
}

// Lookup returns the entry at path. A directory that has no entry of its own is
// found as well, with mode 0755 and the times of the first entry in it; so is
// the path "".
//
// NotFound: there is nothing at path.
func (r *Repo) Lookup(ctx context.Context, root Root, path string) (Entry, error) {
	c, done, err := r.enter(ctx, root, path)
	if err != nil {
		return Entry{}, err
	}
	defer done()
	found, ok := c.path()
	switch {
	case ok && found == path:
		return c.entry(ctx)
	case ok && Below(found, path):
		return c.implied(ctx, path)
	case path == "":
		return Entry{Kind: Dir, Mode: 0o755}, nil
	}
	return Entry{}, agentbay.Errorf(agentbay.NotFound, "there is no file %q in the context", path)
}

// implied returns the directory dir, which has no entry but the one at the
// cursor below it.
func (c *cursor) implied(ctx context.Context, dir string) (Entry, error) {
	w, err := c.row(ctx)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Path: dir, Kind: Dir, Mode: 0o755, Modified: w.Modified, Saved: w.Saved}, nil
}

// Children lists what is directly in dir: the entries from number skip on, at
// most limit, and how many there are in all. Directories without an entry of
// their own are listed as [Repo.Lookup] finds them. What is not there, or not a
// directory, is empty.
func (r *Repo) Children(ctx context.Context, root Root, dir string, skip, limit int) ([]Entry, int, error) {
	c, done, err := r.enter(ctx, root, dir)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	if path, ok := c.path(); ok && path == dir {
		if err := c.step(ctx); err != nil {
			return nil, 0, err
		}
	}
	var entries []Entry
	total := 0
	for ; ; total++ {
		path, ok := c.path()
		if !ok || !Below(path, dir) {
			return entries, total, nil
		}
		child := childOf(path, dir)
		if total >= skip && len(entries) < limit {
			e, err := c.child(ctx, child)
			if err != nil {
				return nil, 0, err
			}
			entries = append(entries, e)
		}
		if err := c.leave(ctx, child); err != nil {
			return nil, 0, err
		}
	}
}

// childOf returns what is directly in dir and leads to path.
func childOf(path, dir string) string {
	from := 0
	if dir != "" {
		from = len(dir) + 1
	}
	if n := strings.IndexByte(path[from:], '/'); n >= 0 {
		return path[:from+n]
	}
	return path
}

func (c *cursor) child(ctx context.Context, path string) (Entry, error) {
	if at, _ := c.path(); at == path {
		return c.entry(ctx)
	}
	return c.implied(ctx, path)
}

// leave goes behind all that is within path, where the cursor is.
func (c *cursor) leave(ctx context.Context, path string) error {
	if err := c.step(ctx); err != nil {
		return err
	}
	if at, ok := c.path(); ok && within(at, path) {
		return c.seek(ctx, past(path))
	}
	return nil
}

// step goes one entry on.
func (c *cursor) step(ctx context.Context) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	c.next()
	return nil
}

// Totals returns how much is in root.
func (r *Repo) Totals(ctx context.Context, root Root) (Totals, error) {
	if err := r.gate.enter(ctx); err != nil {
		return Totals{}, err
	}
	defer r.gate.leave()
	m, err := r.manifest(ctx, root)
	if err != nil {
		return Totals{}, err
	}
	return m.Totals, nil
}
