package contexts

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// Diff yields what makes from to to, at and below prefix, as [Repo.Apply] takes
// it. It costs what differs. What is gone is removed once, by the topmost
// directory below prefix that is gone, whether that had an entry or not.
func (r *Repo) Diff(ctx context.Context, from, to Root, prefix string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if from == to {
			return
		}
		d := &diff{ctx: ctx, prefix: prefix, yield: func(c Change) bool { return yield(c, nil) }}
		if err := d.run(r, from, to); err != nil && err != errStopped {
			yield(Change{}, err)
		}
	}
}

// A diff walks over two manifests at once.
type diff struct {
	ctx          context.Context
	prefix       string
	from, to     *cursor
	all          *cursor // another one of to
	alive        string  // a directory that is known to be in to
	aliveIsKnown bool
	yield        func(Change) bool
}

// stopped is what says that the consumer has had enough.
type stopped struct{}

func (stopped) Error() string { return "stopped" }

var errStopped error = stopped{}

func (d *diff) run(r *Repo, from, to Root) error {
	var done func()
	var err error
	if d.from, done, err = r.enter(d.ctx, from, d.prefix); err != nil {
		return err
	}
	defer done()
	if d.to, err = r.cursor(d.ctx, to); err != nil {
		return err
	}
	d.all = &cursor{repo: r, pages: d.to.pages}
	if err := d.to.seek(d.ctx, d.prefix); err != nil {
		return err
	}
	for {
		if more, err := d.step(); !more || err != nil {
			return err
		}
	}
}

// step compares what the cursors are at, and goes on.
func (d *diff) step() (more bool, err error) {
	if d.equalPages() {
		d.from.skip()
		d.to.skip()
		return true, nil
	}
	a, old := d.path(d.from)
	b, new := d.path(d.to)
	switch {
	case !old && !new:
		return false, nil
	case !new || old && Compare(a, b) < 0:
		return true, d.gone(a, b)
	case !old || Compare(b, a) < 0:
		return true, d.put()
	}
	return true, d.both()
}

func (d *diff) path(c *cursor) (string, bool) {
	path, ok := c.path()
	return path, ok && within(path, d.prefix)
}

func (d *diff) equalPages() bool {
	a, ok := d.from.whole()
	b, ok2 := d.to.whole()
	return ok && ok2 && a.chunk == b.chunk
}

func (d *diff) emit(c Change) error {
	if !d.yield(c) {
		return errStopped
	}
	return nil
}

// put emits the entry that is next in to. If it is no directory it also ends
// what was below it.
func (d *diff) put() error {
	e, err := d.to.entry(d.ctx)
	if err != nil {
		return err
	}
	d.to.next()
	if err := d.emit(Change{Path: e.Path, Entry: e}); err != nil || e.Kind == Dir {
		return err
	}
	if path, ok := d.from.path(); ok && Below(path, e.Path) {
		return d.from.seek(d.ctx, past(e.Path))
	}
	return nil
}

// both is for a path that is next in from and in to.
func (d *diff) both() error {
	a, err := d.from.row(d.ctx)
	if err != nil {
		return err
	}
	b, err := d.to.row(d.ctx)
	if err != nil {
		return err
	}
	same := a.same(b)
	d.from.next()
	if same {
		d.to.next()
		return nil
	}
	return d.put()
}

func (r *row) same(o *row) bool {
	return r.Path == o.Path && r.Kind == o.Kind && r.Mode == o.Mode && r.Size == o.Size && r.Target == o.Target &&
		r.Modified.Equal(o.Modified) && r.Saved.Equal(o.Saved) && r.Outside == o.Outside && r.Packed == o.Packed &&
		slices.Equal(r.Extents, o.Extents) && slices.Equal(r.lists, o.lists)
}

// gone is for a path that is next in from and has no entry in to, where next
// comes after it.
func (d *diff) gone(path, next string) error {
	if next != "" && Below(next, path) {
		return d.replaced(path)
	}
	top, err := d.top(path)
	if err != nil {
		return err
	}
	if err := d.emit(Change{Path: top, Remove: true}); err != nil {
		return err
	}
	return d.from.seek(d.ctx, past(top))
}

// replaced is for an entry that is gone while there is something below it: it
// is removed, and all that is below it put again.
func (d *diff) replaced(path string) error {
	if err := d.emit(Change{Path: path, Remove: true}); err != nil {
		return err
	}
	if err := d.from.seek(d.ctx, past(path)); err != nil {
		return err
	}
	for {
		next, ok := d.to.path()
		if !ok || !Below(next, path) {
			return nil
		}
		if err := d.put(); err != nil {
			return err
		}
	}
}

// top returns the topmost directory below the prefix that led to path and is
// gone, or path.
func (d *diff) top(path string) (string, error) {
	for {
		dir := parent(path)
		if dir == d.prefix || dir == "" || !Below(dir, d.prefix) || d.aliveIsKnown && dir == d.alive {
			return path, nil
		}
		alive, err := d.has(dir)
		if err != nil {
			return "", err
		}
		if alive {
			d.alive, d.aliveIsKnown = dir, true
			return path, nil
		}
		path = dir
	}
}

func parent(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

// has reports whether to has anything at or below path.
func (d *diff) has(path string) (bool, error) {
	if err := d.all.seek(d.ctx, path); err != nil {
		return false, err
	}
	at, ok := d.all.path()
	return ok && within(at, path), nil
}
