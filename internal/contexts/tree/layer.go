package tree

import (
	"context"
	"errors"
	"iter"
	"path"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

// errWhole is why a delta cannot be made: the layer must have everything.
var errWhole = errors.New("needs a layer with everything")

// A layer is made of a repository, for one view.
type layer struct {
	repo *contexts.Repo
	root contexts.Root
	v    View
	p    *Progress
}

// A made is what a layer has become.
type made struct {
	entries  int
	bytes    int64 // of the disk
	archives bool  // some were unpacked
	fresh    []string
}

// full makes a layer with everything that is selected.
func (l layer) full(ctx context.Context, dir string) (m made, err error) {
	totals, err := l.repo.Totals(ctx, l.root)
	if err != nil {
		return made{}, err
	}
	l.p.TotalBytes.Store(totals.Bytes)
	var packed []contexts.Entry
	keep := func(e contexts.Entry) bool {
		if l.unpacks(e) {
			packed = append(packed, e)
			return !l.hides(e)
		}
		return true
	}
	all := l.repo.Contents(ctx, l.selected(l.repo.Entries(ctx, l.root, l.v.Selection.prefix), keep))
	if m, err = build(ctx, dir, l.v, l.p, buildLayer, l.meta(ctx), all); err != nil {
		return m, err
	}
	if len(packed) > 0 {
		m.archives = true
		m.entries += len(packed)
		n, err := l.unpack(ctx, dir, packed)
		if m.bytes += n; err != nil {
			return m, err
		}
	}
	l.p.TotalBytes.Store(l.p.Bytes.Load())
	return m, nil
}

// selected passes on the entries that are in the view and that keep wants.
func (l layer) selected(all iter.Seq2[contexts.Entry, error], keep func(contexts.Entry) bool) iter.Seq2[contexts.Entry, error] {
	return func(yield func(contexts.Entry, error) bool) {
		for e, err := range all {
			if err != nil {
				yield(e, err)
				return
			}
			rel, ok := l.v.Selection.Rel(e.Path)
			if in, _ := l.v.Selection.Match(rel); !ok || !in && !e.Packed || rel == "" && e.Kind != contexts.Dir {
				continue
			}
			if keep(e) && !yield(e, nil) {
				return
			}
		}
	}
}

// meta finds out what directories are.
func (l layer) meta(ctx context.Context) func(string) (contexts.Entry, error) {
	return func(rel string) (contexts.Entry, error) {
		e, err := l.repo.Lookup(ctx, l.root, l.v.Selection.Key(rel))
		if errors.Is(err, agentbay.NotFound) || err == nil && e.Kind != contexts.Dir {
			return contexts.Entry{Kind: contexts.Dir, Mode: 0o755}, nil
		}
		return e, err
	}
}

// delta makes a layer with what differs from another state, or fails with
// errWhole.
func (l layer) delta(ctx context.Context, from contexts.Root, dir string) (made, error) {
	all := l.repo.Contents(ctx, l.differing(ctx, from))
	return build(ctx, dir, l.v, l.p, buildDelta, l.meta(ctx), all)
}

// differing yields what is new, and what is gone as removed.
func (l layer) differing(ctx context.Context, from contexts.Root) iter.Seq2[contexts.Entry, error] {
	return func(yield func(contexts.Entry, error) bool) {
		for c, err := range l.repo.Diff(ctx, from, l.root, l.v.Selection.prefix) {
			if errors.Is(err, agentbay.Internal) {
				err = errWhole // nobody keeps the other state for us: it may have been collected
			}
			if err != nil {
				yield(contexts.Entry{}, err)
				return
			}
			all, err := l.differs(ctx, c)
			if err != nil {
				yield(contexts.Entry{}, err)
				return
			}
			for _, e := range all {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// differs returns what a change is to the view.
func (l layer) differs(ctx context.Context, c contexts.Change) ([]contexts.Entry, error) {
	rel, ok := l.v.Selection.Rel(c.Path)
	in, within := l.v.Selection.Match(rel)
	switch {
	case !ok && c.Remove, ok && !c.Remove && c.Entry.Packed:
		return nil, errWhole
	case !ok || !within:
		return nil, nil
	case rel == "" && (c.Remove || c.Entry.Kind != contexts.Dir):
		return nil, errWhole
	case c.Remove && !in:
		return l.missing(ctx, rel)
	case c.Remove:
		return l.gone(ctx, c.Path)
	case l.unpacks(c.Entry):
		return nil, errWhole
	case c.Entry.Kind != contexts.Dir && !in:
		return l.missing(ctx, rel)
	case !in:
		return nil, nil
	}
	return []contexts.Entry{c.Entry}, nil
}

// missing returns as removed the selected parts below rel that are not there.
func (l layer) missing(ctx context.Context, rel string) (all []contexts.Entry, err error) {
	for _, part := range l.v.Selection.paths() {
		if !contexts.Below(part, rel) {
			continue
		}
		_, err := l.repo.Lookup(ctx, l.root, l.v.Selection.Key(part))
		if errors.Is(err, agentbay.NotFound) {
			all = append(all, contexts.Entry{Path: l.v.Selection.Key(part), Kind: removed})
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// gone returns what was removed as removed, unless it is still there as a
// directory that only leads to others.
func (l layer) gone(ctx context.Context, key string) ([]contexts.Entry, error) {
	e, err := l.repo.Lookup(ctx, l.root, key)
	if errors.Is(err, agentbay.NotFound) || err == nil && e.Kind != contexts.Dir {
		return []contexts.Entry{{Path: key, Kind: removed}}, nil
	}
	return []contexts.Entry{e}, err
}

// unpacks reports whether an entry is an archive of which the content is shown.
func (l layer) unpacks(e contexts.Entry) bool { return unpacks(e, l.v.Extract) }

func unpacks(e contexts.Entry, x agentbay.ExtractPolicy) bool {
	return e.Kind == contexts.File && (e.Packed || e.Outside && x.Extract && archiveType(e.Path) != "")
}

// archiveType returns the ending of an archive's name, or "".
func archiveType(name string) string {
	name = strings.ToLower(path.Base(name))
	for _, end := range []string{".tar.gz", ".tgz", ".tar", ".zip"} {
		if strings.HasSuffix(name, end) && len(name) > len(end) {
			return end
		}
	}
	return ""
}
