package contexts

import (
	"context"
	"iter"
)

// Small files are fetched together, until there are so many chunks or bytes.
const (
	groupChunks = 1024
	groupBytes  = 8 << 20
	groupFile   = 2 << 20 // larger files are read by themselves
)

// A Content is an entry with what is in it.
type Content struct {
	Entry
	File *Reader // nil unless Kind is File
}

// Contents yields entries as they come, the files among them with their content.
// It looks ahead, so that many small files cost few reads; use it rather than
// Open for more than a few. The consumer closes every File it gets, at any time.
func (r *Repo) Contents(ctx context.Context, entries iter.Seq2[Entry, error]) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		if err := r.gate.enter(ctx); err != nil {
			yield(Content{}, err)
			return
		}
		defer r.gate.leave()
		ahead, stop := context.WithCancel(ctx)
		groups := make(chan *group, 1)
		go func() {
			defer close(groups)
			r.groups(ahead, entries, groups)
		}()
		defer func() {
			stop()
			for range groups {
			}
		}()
		for g := range groups {
			if !g.yield(ctx, r, yield) {
				return
			}
		}
	}
}

// A group is entries, with the chunks of those files that are small.
type group struct {
	entries []Entry
	ids     []ID
	bytes   int64
	chunks  map[ID][]byte
	failed  error // of the chunks that are not there
	err     error // behind the entries
}

func (g *group) full() bool {
	return len(g.ids) >= groupChunks || len(g.entries) >= groupChunks || g.bytes >= groupBytes
}

func (g *group) add(e Entry) {
	g.entries = append(g.entries, e)
	if e.Kind == File && e.Size <= groupFile {
		g.ids = append(g.ids, ids(e.Extents)...)
		g.bytes += e.Size
	}
}

// groups fetches group after group.
func (r *Repo) groups(ctx context.Context, entries iter.Seq2[Entry, error], to chan<- *group) {
	g := new(group)
	send := func() bool {
		g.chunks, g.failed = r.fetch(ctx, g.ids)
		select {
		case to <- g:
			g = new(group)
			return true
		case <-ctx.Done():
			return false
		}
	}
	for e, err := range entries {
		if err != nil {
			g.err = err
			break
		}
		if g.add(e); g.full() && !send() {
			return
		}
	}
	send()
}

func (g *group) yield(ctx context.Context, r *Repo, yield func(Content, error) bool) bool {
	for _, e := range g.entries {
		c, err := g.content(ctx, r, e)
		if !yield(c, err) || err != nil {
			return false
		}
	}
	return g.err == nil || yield(Content{}, g.err)
}

// content opens a file of the group. What could not be fetched is asked for
// again by who reads it, and so is known by its path.
func (g *group) content(ctx context.Context, r *Repo, e Entry) (Content, error) {
	if e.Kind != File {
		return Content{Entry: e}, nil
	}
	f, err := r.Open(ctx, e)
	if err != nil {
		return Content{}, err
	}
	if e.Size <= groupFile {
		f.have = g.chunks
	}
	return Content{e, f}, nil
}
