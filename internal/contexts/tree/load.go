package tree

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// Load shows a session what is in root: at rel and below it, "" being all of
// the mount. Files that differ are replaced, each at once; what is not in root
// stays. The next [Save] does not take what was loaded for the session's, also
// if Load is killed half-way.
//
// NotFound: there is nothing at rel.
// Invalid: rel is not among what the mount moves.
func Load(ctx context.Context, repo *contexts.Repo, root contexts.Root, t Tree, rel string, p *Progress) error {
	if t.Archive { // the archives are all or nothing
		rel = ""
	}
	l := &loader{layer: layer{repo, root, View{Selection: t.Selection, Extract: t.Extract, UID: t.Base + t.UID, GID: t.Base + t.GID}, cmp.Or(p, new(Progress))}, t: t, rel: rel}
	if _, within := t.Selection.Match(rel); !within {
		return agentbay.Errorf(agentbay.Invalid, "%s is not among what the mount moves; change its white list", show(rel))
	}
	if _, err := repo.Lookup(ctx, root, t.Selection.Key(rel)); err != nil && (rel != "" || !errors.Is(err, agentbay.NotFound)) {
		return err
	}
	top, err := openTop(t.Merged)
	if err != nil {
		return failed(err, "load", t.Merged)
	}
	defer unix.Close(top)
	if err := l.claim(ctx, top); err != nil {
		return err
	}
	if l.claimed > 0 {
		m, err := build(ctx, t.Merged, l.v, l.p, buildOver, l.meta(ctx), repo.Contents(ctx, l.claims()))
		if err != nil {
			return err
		}
		if err := l.opaques(m.fresh); err != nil {
			return err
		}
	}
	if err := l.unpackAll(ctx, top); err != nil {
		return err
	}
	return l.settle()
}

// A loader loads a state into one Tree.
type loader struct {
	layer
	t       Tree
	rel     string
	claimed int              // files, links and directories to be loaded
	packed  []contexts.Entry // archives to be unpacked
	came    []memo           // what was unpacked, and the archives themselves
}

// claim notes in the memory what is going to be loaded. Whatever happens then,
// that is not the session's.
func (l *loader) claim(ctx context.Context, top int) error {
	look := &looker{top: top}
	defer look.close()
	return l.rewrite(func(add func(memo), old *memoQueue) error {
		keep := func(m memo) {
			m.flags &^= memoPut
			add(m)
		}
		for e, err := range l.selected(l.repo.Entries(ctx, l.root, l.t.Selection.Key(l.rel)), l.wanted) {
			if err != nil {
				return err
			}
			rel, _ := l.t.Selection.Rel(e.Path)
			if err := old.until(rel, keep); err != nil {
				return err
			}
			alike, err := look.alike(rel, e)
			if err != nil {
				return failed(err, "load", rel)
			}
			if alike || rel == "" {
				continue
			}
			old.at(rel, func(m memo) {
				if !m.is(memoClaim) {
					add(m)
				}
			})
			l.claimed++
			l.p.TotalBytes.Add(e.Size)
			add(memo{rel: rel, flags: memoClaim | memoPut, Entry: e})
		}
		return old.rest(keep)
	})
}

// wanted takes out the archives that are not shown themselves.
func (l *loader) wanted(e contexts.Entry) bool {
	if l.unpacks(e) {
		l.packed = append(l.packed, e)
		return !l.hides(e)
	}
	return true
}

// claims yields what is to be loaded.
func (l *loader) claims() iter.Seq2[contexts.Entry, error] {
	return func(yield func(contexts.Entry, error) bool) {
		for m, err := range memos(l.t.Memory) {
			if err == nil && !m.is(memoClaim) || err == nil && !m.is(memoPut) {
				continue
			}
			m.Entry.Path = l.t.Selection.Key(m.rel)
			if !yield(m.Entry, err) {
				return
			}
		}
	}
}

// opaques remembers which directories hide what is below them though the session
// did not mean that: because they were made anew, or because all that was
// hidden has come.
func (l *loader) opaques(fresh []string) error {
	top, err := openTop(l.t.Upper)
	if err != nil {
		return failed(err, "load", l.t.Upper)
	}
	defer unix.Close(top)
	for m, err := range memos(l.t.Memory) {
		if err != nil {
			return err
		}
		if m.is(memoClaim) && m.is(memoPut) && m.Kind == contexts.Dir {
			fresh = append(fresh, m.rel)
		}
	}
	slices.SortFunc(fresh, contexts.Compare)
	for _, rel := range slices.Compact(fresh) {
		if m, ok := opaqueAt(top, rel); ok {
			l.came = append(l.came, m)
		}
	}
	return nil
}

// opaqueAt returns the memo of a directory that hides what is below it.
func opaqueAt(top int, rel string) (memo, bool) {
	fd, err := openBelow(top, rel)
	if err != nil {
		return memo{}, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !isOpaque(fd) {
		return memo{}, false
	}
	return memo{rel: rel, flags: memoStat | memoOpaque, inode: st.Ino, Entry: contexts.Entry{
		Kind: contexts.Dir, Mode: fileMode(st.Mode), Modified: timeOf(st.Mtim),
	}}, true
}

// settle notes that what was claimed has come, and what was unpacked.
func (l *loader) settle() error {
	if l.claimed == 0 && len(l.came) == 0 {
		return nil
	}
	slices.SortStableFunc(l.came, func(a, b memo) int { return contexts.Compare(a.rel, b.rel) })
	return l.rewrite(func(add func(memo), old *memoQueue) error {
		one := func(known []memo) {
			for _, m := range come(known) {
				add(m)
			}
		}
		for _, m := range l.came {
			if err := old.groups(m.rel, false, one); err != nil {
				return err
			}
			err := old.at(m.rel, func(k memo) {
				if !k.is(memoStat | memoHidden) {
					one([]memo{k})
				}
			})
			if err != nil {
				return err
			}
			add(m)
		}
		return old.groups("", true, one)
	})
}

// come returns what is known of a path once what was claimed of it is there.
func come(known []memo) []memo {
	i := slices.IndexFunc(known, func(m memo) bool { return m.is(memoClaim) && m.is(memoPut) })
	if i < 0 {
		return known
	}
	m := known[i]
	m.flags = 0
	return append([]memo{m}, slices.DeleteFunc(slices.Clone(known), func(k memo) bool { return !k.is(memoHidden) })...)
}

// rewrite replaces the memory by another, made of the old one.
func (l *loader) rewrite(change func(add func(memo), old *memoQueue) error) error {
	file, err := os.CreateTemp(filepath.Dir(l.t.Memory), filepath.Base(l.t.Memory)+halfMade+"*")
	if err != nil {
		return failed(err, "load", l.t.Memory)
	}
	w := newMemoWriter(file)
	old := newMemoQueue(l.t.Memory)
	defer old.stop()
	if err = errors.Join(change(w.add, old), failed(w.close(), "load", l.t.Memory)); err == nil {
		err = failed(os.Rename(file.Name(), l.t.Memory), "load", l.t.Memory)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// A looker holds entries, in the order of their paths, against a directory.
type looker struct {
	top  int
	open []looked // from the top down
}

// A looked is a directory that is open.
type looked struct {
	rel string
	fd  int
}

func (k *looker) close() {
	for _, d := range k.open {
		unix.Close(d.fd)
	}
	k.open = nil
}

// alike reports whether an entry looks as if it were there: what it is, how
// long, and when it was modified.
func (k *looker) alike(rel string, e contexts.Entry) (bool, error) {
	dir, name := path.Split(rel)
	fd, ok, err := k.enter(strings.TrimSuffix(dir, "/"))
	if !ok || err != nil || name == "" {
		return false, err
	}
	st, err := statAt(fd, name)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !timeOf(st.Mtim).Equal(e.Modified) || kindOf(st) != e.Kind {
		return false, nil
	}
	switch e.Kind {
	case contexts.Symlink:
		target, err := readLink(fd, name)
		return err == nil && target == e.Target, nil
	case contexts.File:
		return st.Size == e.Size && fileMode(st.Mode) == e.Mode, nil
	}
	return fileMode(st.Mode) == e.Mode, nil
}

func kindOf(st unix.Stat_t) contexts.Kind {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return contexts.File
	case unix.S_IFDIR:
		return contexts.Dir
	case unix.S_IFLNK:
		return contexts.Symlink
	}
	return removed
}

// enter opens a directory, if there is one.
func (k *looker) enter(rel string) (fd int, ok bool, err error) {
	for n := len(k.open); n > 0; n = len(k.open) {
		d := k.open[n-1]
		if d.rel == rel {
			return d.fd, true, nil
		}
		if contexts.Below(rel, d.rel) {
			break
		}
		unix.Close(d.fd)
		k.open = k.open[:n-1]
	}
	if rel == "" {
		return k.top, true, nil
	}
	fd, err = openBelow(k.top, rel)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	k.open = append(k.open, looked{rel, fd})
	return fd, true, nil
}
