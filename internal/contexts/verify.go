package contexts

import (
	"context"
	"io"
	"iter"
)

// Verify reads everything in root and yields the paths that are damaged, each
// with the reason. A damaged page is yielded by the first path in it, a damaged
// root by "".
func (r *Repo) Verify(ctx context.Context, root Root) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c, done, err := r.enter(ctx, root, "")
		if err != nil {
			yield("", err)
			return
		}
		defer done()
		for ; c.at < len(c.pages); c.skip() {
			if err := c.load(ctx); err != nil {
				if !yield(c.pages[c.at].first, err) {
					return
				}
				continue
			}
			if !r.verify(ctx, c.rows, yield) {
				return
			}
		}
	}
}

// verify reads the files of a page.
func (r *Repo) verify(ctx context.Context, rows []row, yield func(string, error) bool) bool {
	entries := make([]Entry, 0, len(rows))
	for i := range rows {
		e, err := rows[i].Entry, error(nil)
		if e.Extents, err = r.extents(ctx, &rows[i]); err == nil {
			entries = append(entries, e)
		} else if !yield(e.Path, err) {
			return false
		}
	}
	for c, err := range r.Contents(ctx, sequence(entries)) {
		if err == nil && c.File != nil {
			_, err = c.File.WriteTo(io.Discard)
			c.File.Close()
		}
		if err != nil && !yield(c.Path, err) {
			return false
		}
	}
	return ctx.Err() == nil
}

// sequence yields entries.
func sequence(entries []Entry) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
