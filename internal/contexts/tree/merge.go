package tree

import (
	"context"
	"errors"
	"slices"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// A step is one path at which the directory and the memory of it are held
// against each other, in the order of paths.
type step struct {
	rel    string
	remove bool   // it, and all below it, is to be removed; all else is empty then
	found  *found // what is there; nil if only something to keep in mind is left
	known  []memo // what is remembered of it
	forced bool   // what is known does not count, because it was removed before
	hidden bool   // what the mounted state has there does not show through
}

// A merger holds a directory against the memory of it.
type merger struct {
	ctx  context.Context
	repo *contexts.Repo
	t    Tree
	p    *Progress
	emit func(step) error

	old     *memoQueue
	pending []string // what else is to be removed, sorted; each once all before it came
	last    string   // what was removed last, and so all that is below it
	lasting bool     // there is such a last
	forced  string   // below this directory everything is new
	forcing bool     // there is such a directory
	hidden  string   // below this directory nothing of the mounted state shows through
	hiding  bool     // there is such a directory
}

// run emits all steps.
func (m *merger) run() error {
	top, err := openTop(m.t.Upper)
	if err != nil {
		return failed(err, "save", m.t.Upper)
	}
	defer unix.Close(top)
	m.old = newMemoQueue(m.t.Memory)
	defer m.old.stop()
	root := found{kind: contexts.Dir, dir: top, name: "."}
	if err := unix.Fstat(top, &root.st); err != nil {
		return failed(err, "save", m.t.Upper)
	}
	if err := m.visit(root); err != nil {
		return err
	}
	w := walker{sel: m.t.Selection, p: m.p, visit: m.visit, merged: m.t.Merged}
	if err := w.walk(top, ""); err != nil {
		return err
	}
	for m.old.more {
		if err := m.vanished(m.old.head.rel); err != nil {
			return err
		}
	}
	return errors.Join(m.old.err, m.flush("", true))
}

// take returns what is remembered of a path, which comes next.
func (m *merger) take(rel string) (known []memo, err error) {
	err = m.old.at(rel, func(k memo) {
		k.flags &^= memoPut
		known = append(known, k)
	})
	return known, err
}

// visit goes on to what was found.
func (m *merger) visit(f found) error {
	if err := m.ctx.Err(); err != nil {
		return context.Cause(m.ctx)
	}
	for m.old.more && contexts.Compare(m.old.head.rel, f.rel) < 0 {
		if err := m.vanished(m.old.head.rel); err != nil {
			return err
		}
	}
	known, err := m.take(f.rel)
	if err != nil {
		return err
	}
	if hides(f, known) {
		if err := m.gone(f.rel); err != nil {
			return err
		}
	}
	if err := m.flush(f.rel, false); err != nil {
		return err
	}
	s := step{rel: f.rel, found: &f, known: known, forced: m.forcing && contexts.Below(f.rel, m.forced), hidden: m.hide(f)}
	if f.kind == contexts.Dir && f.opaque && hides(f, known) && !s.forced {
		m.forced, m.forcing, s.forced = f.rel, true, true
	}
	if f.kind != contexts.Dir && !m.covered(f.rel) {
		m.last, m.lasting = f.rel, true
	}
	return m.emit(s)
}

// hide reports whether the mounted state does not show through where f was found.
func (m *merger) hide(f found) bool {
	below := m.hiding && contexts.Below(f.rel, m.hidden)
	if f.kind == contexts.Dir && f.opaque && !below {
		m.hidden, m.hiding = f.rel, true
	}
	return below
}

// hides reports whether what was found hides what is below it, and did not when
// it was seen last.
func hides(f found, known []memo) bool {
	before := func(m memo) bool {
		if f.kind == removed {
			return m.is(memoWhiteout)
		}
		return m.is(memoOpaque) && m.inode == f.st.Ino
	}
	return (f.kind == removed || f.opaque) && f.rel != "" && !slices.ContainsFunc(known, before)
}

// vanished goes on to a path that is remembered and not there.
func (m *merger) vanished(rel string) error {
	known, err := m.take(rel)
	if err != nil {
		return err
	}
	was := func(k memo) bool { return !k.is(memoWhiteout | memoClaim | memoHidden) }
	if slices.ContainsFunc(known, was) && rel != "" {
		if err := m.gone(rel); err != nil {
			return err
		}
	}
	if err := m.flush(rel, false); err != nil {
		return err
	}
	known = slices.DeleteFunc(known, func(k memo) bool { return !k.is(memoHidden) })
	if len(known) == 0 {
		return nil
	}
	return m.emit(step{rel: rel, known: known})
}

// covered reports whether a path is below what was removed last.
func (m *merger) covered(rel string) bool {
	return m.lasting && contexts.Below(rel, m.last)
}

// gone notes that what is at rel, as far as it is selected, is to be removed.
func (m *merger) gone(rel string) error {
	if m.t.KeepDeleted || m.covered(rel) {
		return nil
	}
	all, err := removals(m.ctx, m.repo, m.t, rel)
	if err != nil {
		return err
	}
	m.pending = append(m.pending, all...)
	slices.SortFunc(m.pending, contexts.Compare)
	m.pending = slices.Compact(m.pending)
	return nil
}

// removals returns what to remove so that nothing is left at rel, except for
// what is not selected.
func removals(ctx context.Context, repo *contexts.Repo, t Tree, rel string) (all []string, err error) {
	if t.Selection.whole(rel) {
		return []string{rel}, nil
	}
	for e, err := range repo.Entries(ctx, t.Root, t.Selection.Key(rel)) {
		if err != nil {
			return nil, err
		}
		at, ok := t.Selection.Rel(e.Path)
		if n := len(all); !ok || n > 0 && contexts.Below(at, all[n-1]) {
			continue
		}
		if in, _ := t.Selection.Match(at); in && (e.Kind != contexts.Dir || t.Selection.whole(at)) {
			all = append(all, at)
		}
	}
	return all, nil
}

// flush emits what is to be removed up to a path, or all.
func (m *merger) flush(rel string, all bool) error {
	for len(m.pending) > 0 && (all || contexts.Compare(m.pending[0], rel) <= 0) {
		at := m.pending[0]
		m.pending = m.pending[1:]
		if m.covered(at) {
			continue
		}
		m.last, m.lasting = at, true
		if err := m.emit(step{rel: at, remove: true}); err != nil {
			return err
		}
	}
	return nil
}

// base adds to what is known of a path what the context says, if nothing else
// is: the session may have touched it without changing it.
func (s *saver) base(st step) ([]memo, error) {
	if len(st.known) > 0 || st.hidden || s.t.Root == (contexts.Root{}) {
		return st.known, nil
	}
	e, err := s.repo.Lookup(s.ctx, s.t.Root, s.t.Selection.Key(st.rel))
	if errors.Is(err, agentbay.NotFound) {
		return nil, nil
	}
	return []memo{{rel: st.rel, flags: memoClaim, Entry: e}}, err
}
