package contexts

import (
	"context"
	"sort"
)

// A cursor walks over the entries of a manifest. It loads pages when it gets to
// them, and some at once when it goes straight on.
type cursor struct {
	repo     *Repo
	pages    []page
	at       int   // the page that it is in
	rows     []row // of that page; nil until it is loaded
	i        int   // the row that it is at
	straight bool  // the page before was read to its end
}

// cursor begins before the first entry of a root.
func (r *Repo) cursor(ctx context.Context, root Root) (*cursor, error) {
	m, err := r.manifest(ctx, root)
	if err != nil {
		return nil, err
	}
	return &cursor{repo: r, pages: m.pages}, nil
}

// seek goes to the first entry that is not before path.
func (c *cursor) seek(ctx context.Context, path string) error {
	n := sort.Search(len(c.pages), func(i int) bool { return Compare(c.pages[i].first, path) > 0 })
	if at := max(n-1, 0); at != c.at || c.rows == nil {
		c.at, c.rows, c.i, c.straight = at, nil, 0, false
	}
	if c.at == len(c.pages) || Compare(path, c.pages[c.at].first) <= 0 {
		c.i = 0
		return nil
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	c.i = sort.Search(len(c.rows), func(i int) bool { return Compare(c.rows[i].Path, path) >= 0 })
	c.settle()
	return nil
}

// settle goes on to the next page at the end of one.
func (c *cursor) settle() {
	if c.rows != nil && c.i == len(c.rows) {
		c.at, c.rows, c.i, c.straight = c.at+1, nil, 0, true
	}
}

// row returns where the cursor is; nil at the end.
func (c *cursor) row(ctx context.Context) (*row, error) {
	if c.at == len(c.pages) {
		return nil, nil
	}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	return &c.rows[c.i], nil
}

// path returns the path of row, without loading a page for it.
func (c *cursor) path() (string, bool) {
	switch {
	case c.at == len(c.pages):
		return "", false
	case c.rows == nil || c.i == 0:
		return c.pages[c.at].first, true
	}
	return c.rows[c.i].Path, true
}

// whole returns the page that the cursor is at the start of, if it is.
func (c *cursor) whole() (page, bool) {
	if c.at == len(c.pages) || c.i > 0 {
		return page{}, false
	}
	return c.pages[c.at], true
}

// next goes one entry on; the page must be loaded.
func (c *cursor) next() {
	c.i++
	c.settle()
}

// skip goes to the next page.
func (c *cursor) skip() {
	c.at, c.rows, c.i = c.at+1, nil, 0
}

// ahead is how many pages are fetched at once.
const ahead = 8

func (c *cursor) load(ctx context.Context) error {
	if c.rows != nil {
		return nil
	}
	n := 1
	if c.straight {
		n = min(ahead, len(c.pages)-c.at)
	}
	rows, err := c.repo.page(ctx, c.pages[c.at:c.at+n])
	c.rows = rows
	return err
}

// page returns the rows of the first of some pages; the others will be asked for.
func (r *Repo) page(ctx context.Context, pages []page) ([]row, error) {
	if rows, ok := recall[[]row](&r.recent, pages[0].chunk); ok {
		return rows, nil
	}
	ids := make([]ID, len(pages))
	for i, p := range pages {
		ids[i] = p.chunk
	}
	got, err := r.fetch(ctx, ids)
	var first []row
	for i, p := range pages {
		// What is wrong with others is said when they are asked for.
		if rows, ok := r.decode(got[p.chunk], p); i == 0 && ok {
			first, err = rows, nil
		} else if i == 0 && err == nil {
			err = &damage{p.chunk, "is not a page of the list"}
		}
	}
	return first, blameList(err, "from "+pages[0].first+" on")
}

// decode decodes a page, and remembers it.
func (r *Repo) decode(b []byte, p page) ([]row, bool) {
	if b == nil {
		return nil, false
	}
	rows, err := decodePage(b)
	if err != nil || rows[0].Path != p.first {
		return nil, false
	}
	r.recent.put(p.chunk, rows, len(b))
	return rows, true
}

// manifest reads a root.
func (r *Repo) manifest(ctx context.Context, root Root) (*manifest, error) {
	if root == (Root{}) {
		return new(manifest), nil
	}
	if m, ok := recall[*manifest](&r.recent, ID(root)); ok {
		return m, nil
	}
	b, err := r.one(ctx, ID(root))
	if err != nil {
		return nil, blameList(err, "state "+root.String())
	}
	m, err := decodeRoot(b)
	if err != nil {
		return nil, blameList(&damage{ID(root), "is not a root"}, "state "+root.String())
	}
	r.recent.put(ID(root), m, len(b))
	return m, nil
}

// extents returns the content of a file, from its lists if it has any.
func (r *Repo) extents(ctx context.Context, w *row) ([]Extent, error) {
	if len(w.lists) == 0 {
		return w.Extents, nil
	}
	var all []Extent
	for _, l := range w.lists {
		part, err := r.extentList(ctx, l)
		if err != nil {
			return nil, blame(err, w.Path)
		}
		all = append(all, part...)
	}
	if sizeOf(all) != w.Size {
		return nil, blame(&damage{w.lists[0].chunk, "is not the file's list of chunks"}, w.Path)
	}
	return all, nil
}

func (r *Repo) extentList(ctx context.Context, l extentList) ([]Extent, error) {
	b, err := r.one(ctx, l.chunk)
	if err != nil {
		return nil, err
	}
	extents, err := decodeList(b)
	if err != nil || int64(len(extents)) != l.n {
		return nil, &damage{l.chunk, "is not a list of chunks"}
	}
	return extents, nil
}
