package tree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"golang.org/x/sys/unix"
)

// Save stores what a session wrote since the last time, and returns what that
// changes. Commit it like this:
//
//	changes, err := tree.Save(ctx, w, repo, t, p)
//	...
//	defer changes.Close()
//	root, totals, err := repo.Apply(ctx, w, head, changes.All())
//	... switch the head to root; if it has moved, apply to the new one
//	err = changes.Settled()
//
// A context's file becomes what the last finished save of it says. With
// Archive, that goes for all of it at once.
//
// A plain directory can be saved as well: it is an upper directory with nothing
// below it.
//
// Conflict: a file is being written to all the time; the message names it.
func Save(ctx context.Context, w *contexts.Writer, repo *contexts.Repo, t Tree, p *Progress) (*Changes, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &saver{ctx: ctx, cancel: cancel, w: w, repo: repo, t: t, p: cmp.Or(p, new(Progress)), now: time.Now().UTC()}
	found, err := s.look()
	if err != nil || !found {
		return &Changes{}, err
	}
	c, err := newChanges(t)
	if err != nil {
		return nil, err
	}
	s.out = newMemoWriter(c.file)
	if t.Archive {
		err = s.archive()
	} else {
		err = s.save()
	}
	err = errors.Join(err, failed(s.out.close(), "save", c.path))
	if err != nil {
		c.Close()
		return nil, err
	}
	c.n = s.n
	return c, nil
}

// A saver saves one Tree once.
type saver struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	w      *contexts.Writer
	repo   *contexts.Repo
	t      Tree
	p      *Progress
	now    time.Time
	out    *memoWriter
	n      int // changes

	jobs, order chan *task
}

// look finds out whether there is anything to do, and how much.
func (s *saver) look() (found bool, err error) {
	m := merger{ctx: s.ctx, repo: s.repo, t: s.t, p: s.p, emit: func(st step) error {
		needs, err := s.needs(st)
		if err == nil && needs {
			found = true
			if st.found != nil && st.found.kind == contexts.File {
				s.p.TotalBytes.Add(st.found.st.Size)
			}
		}
		return err
	}}
	err = m.run()
	if found { // the warnings will come again
		s.p.forget()
	}
	return found, err
}

// needs reports whether a step may change something.
func (s *saver) needs(st step) (bool, error) {
	f := st.found
	switch {
	case st.remove:
		return true, nil
	case f == nil:
		return false, nil
	case f.kind == removed:
		return false, nil
	case f.kind == contexts.File:
		return st.forced || st.trusted() == nil, nil
	}
	_, put, err := s.simple(st)
	return put, err
}

// trusted returns the memo by which a file is known to be the same as it was,
// or nil.
func (st step) trusted() *memo {
	f := st.found
	for i, m := range st.known {
		alike := m.inode == f.st.Ino && m.changed == f.st.Ctim.Nano() && m.Kind == f.kind &&
			m.Size == f.st.Size && m.Modified.Equal(timeOf(f.st.Mtim)) && m.Mode == fileMode(f.st.Mode)
		if alike && !m.is(memoClaim) && (m.settled() || m.is(memoStat)) {
			return &st.known[i]
		}
	}
	return nil
}

// simple returns the memo of a directory, link or whiteout, and whether it is
// to be put.
func (s *saver) simple(st step) (m memo, put bool, err error) {
	f := st.found
	m = memo{rel: st.rel, inode: f.st.Ino, changed: f.st.Ctim.Nano(), seen: time.Now().UnixNano()}
	if f.kind == removed {
		m.flags = memoWhiteout
		return m, false, nil
	}
	if f.opaque {
		m.flags = memoOpaque
	}
	m.Entry = contexts.Entry{Kind: f.kind, Mode: fileMode(f.st.Mode), Modified: timeOf(f.st.Mtim), Saved: s.now}
	if f.kind == contexts.Symlink {
		m.Mode = fs.ModePerm
		if m.Target, err = readLink(f.dir, f.name); err != nil {
			return m, false, vanishedError(err, st.rel)
		}
	}
	if in, _ := s.t.Selection.Match(st.rel); !in {
		return m, false, nil
	}
	put, err = s.differs(st, m.Entry)
	return m, put, err
}

// differs reports whether what was found is anything else than what is known.
func (s *saver) differs(st step, e contexts.Entry) (bool, error) {
	if st.forced {
		return true, nil
	}
	known, err := s.base(st)
	if err != nil {
		return false, err
	}
	if st.rel == "" {
		return !slices.ContainsFunc(known, func(m memo) bool { return m.Mode == e.Mode }) && (len(known) > 0 || e.Mode != 0o755), nil
	}
	return !slices.ContainsFunc(known, func(m memo) bool { return same(m.Entry, e) }), nil
}

// same reports whether two entries are the same to a session.
func same(a, b contexts.Entry) bool {
	return a.Kind == b.Kind && (a.Mode == b.Mode || a.Kind == contexts.Symlink) && a.Modified.Equal(b.Modified) &&
		a.Size == b.Size && a.Target == b.Target && slices.Equal(a.Extents, b.Extents)
}

// vanishedError makes an error of what went away while it was looked at.
func vanishedError(err error, rel string) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
		return busy(rel)
	}
	return failed(err, "save", rel)
}

func busy(rel string) error {
	return agentbay.Errorf(agentbay.Conflict, "%s is being written to; try again when it is closed", show(rel))
}

// A task is a step that is being done.
type task struct {
	step
	file   *os.File
	out    []memo
	hidden []memo // kept besides
	err    error
	done   chan struct{}
}

// save does all steps: files by several hands, and what came of them in order.
func (s *saver) save() error {
	s.jobs, s.order = make(chan *task, 64), make(chan *task, 128)
	var hands, collector sync.WaitGroup
	for range min(max(runtime.GOMAXPROCS(0), 2), 4) {
		hands.Go(func() {
			for t := range s.jobs {
				s.file(t)
				close(t.done)
			}
		})
	}
	collector.Go(s.collect)
	m := merger{ctx: s.ctx, repo: s.repo, t: s.t, p: s.p, emit: s.begin}
	if err := m.run(); err != nil {
		s.cancel(err)
	}
	close(s.jobs)
	hands.Wait()
	close(s.order)
	collector.Wait()
	return context.Cause(s.ctx)
}

// collect writes what comes of the steps.
func (s *saver) collect() {
	for t := range s.order {
		<-t.done
		if t.err != nil {
			s.cancel(t.err)
			continue
		}
		for _, m := range append(t.out, t.hidden...) {
			s.add(m)
		}
	}
}

func (s *saver) add(m memo) {
	if m.is(memoPut | memoRemove) {
		s.n++
	}
	s.out.add(m)
}

// begin does a step, or has it done.
func (s *saver) begin(st step) error {
	t := &task{step: st, done: make(chan struct{})}
	job := false
	switch {
	case st.remove:
		t.out = []memo{{rel: st.rel, flags: memoGone | memoRemove}}
	case st.found == nil:
		t.out = st.known
	case st.found.kind == contexts.File:
		if known := st.trusted(); known != nil && !st.forced {
			t.out = []memo{*known}
			break
		}
		if err := t.open(); err != nil {
			return err
		}
		job = true
	default:
		m, put, err := s.simple(st)
		if err != nil {
			return err
		}
		if put {
			m.flags |= memoPut
			if st.found.kind == contexts.Symlink {
				s.p.Files.Add(1)
			}
		}
		t.out = []memo{m}
	}
	if st.found != nil {
		t.hidden = slices.DeleteFunc(slices.Clone(st.known), func(m memo) bool { return !m.is(memoHidden) })
	}
	s.order <- t
	if job {
		s.jobs <- t
	} else {
		close(t.done)
	}
	return nil
}

// open opens the file that was found.
func (t *task) open() error {
	f := t.found
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return vanishedError(err, t.rel)
	}
	t.file = os.NewFile(uintptr(fd), t.rel)
	return nil
}

// maxTries is how often a file that changes is read.
const maxTries = 3

// file stores a file.
func (s *saver) file(t *task) {
	defer t.file.Close()
	if s.ctx.Err() != nil {
		t.err = context.Cause(s.ctx)
		return
	}
	for range maxTries {
		m, stable, err := s.read(t)
		if err != nil {
			t.err = err
			return
		}
		if !stable {
			continue
		}
		put, err := s.differs(t.step, m.Entry)
		if put {
			m.flags |= memoPut
		}
		t.out, t.err = []memo{m}, err
		s.p.Files.Add(1)
		s.p.Bytes.Add(m.Size)
		return
	}
	t.err = busy(t.rel)
}

// read reads a file once, and reports whether it stayed the same meanwhile.
func (s *saver) read(t *task) (m memo, stable bool, err error) {
	before, err := s.quiet(t.file)
	if err != nil {
		return m, false, failed(err, "save", t.rel)
	}
	if before.Mode&unix.S_IFMT != unix.S_IFREG {
		return m, false, busy(t.rel)
	}
	seen := time.Now().UnixNano()
	extents, size, err := s.w.File(s.ctx, t.file, before.Size)
	if err != nil {
		return m, false, failed(err, "save", t.rel)
	}
	var after unix.Stat_t
	if err := unix.Fstat(int(t.file.Fd()), &after); err != nil {
		return m, false, failed(err, "save", t.rel)
	}
	m = memo{rel: t.rel, inode: before.Ino, changed: before.Ctim.Nano(), seen: seen, Entry: contexts.Entry{
		Kind: contexts.File, Mode: fileMode(before.Mode), Modified: timeOf(before.Mtim), Saved: s.now, Size: size, Extents: extents,
	}}
	stable = before.Ctim == after.Ctim && before.Mtim == after.Mtim && before.Size == after.Size && size == before.Size
	return m, stable, nil
}

// quiet returns what a file is, once enough time has passed since its last
// change for the next one to be seen by its time.
func (s *saver) quiet(file *os.File) (st unix.Stat_t, err error) {
	for range maxTries {
		if err := unix.Fstat(int(file.Fd()), &st); err != nil {
			return st, err
		}
		age := time.Since(timeOf(st.Ctim))
		if age > tick || age < 0 {
			return st, nil
		}
		if err := s.wait(tick - age + time.Millisecond); err != nil {
			return st, err
		}
	}
	return st, nil
}

func (s *saver) wait(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// Changes are what a session changed.
type Changes struct {
	sel    Selection
	memory string // what Settled replaces, or ""
	path   string // of the file with the changes, or ""
	file   *os.File
	n      int
}

// newChanges makes the file in which changes are kept until they are settled.
func newChanges(t Tree) (*Changes, error) {
	dir, pattern := "", "agentbay-changes-*"
	if t.Memory != "" {
		dir, pattern = filepath.Dir(t.Memory), filepath.Base(t.Memory)+halfMade+"*"
	}
	file, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, failed(err, "save", dir)
	}
	return &Changes{sel: t.Selection, memory: t.Memory, path: file.Name(), file: file}, nil
}

// Len returns how many changes there are. If there are none, Settled spares the
// next Save the reading of what only looks changed.
func (c *Changes) Len() int { return c.n }

// All yields the changes, as [contexts.Repo.Apply] takes them, as often as asked.
func (c *Changes) All() iter.Seq2[contexts.Change, error] {
	return func(yield func(contexts.Change, error) bool) {
		if c.n == 0 {
			return
		}
		n := 0
		for m, err := range memos(c.path) {
			if err != nil {
				yield(contexts.Change{}, agentbay.Wrap(err, agentbay.Internal, "the list of changes cannot be read; save again"))
				return
			}
			for _, change := range c.changes(m) {
				if n++; !yield(change, nil) {
					return
				}
			}
		}
		if n != c.n {
			yield(contexts.Change{}, agentbay.Errorf(agentbay.Internal, "the list of changes is gone; save again"))
		}
	}
}

// changes returns what a memo changes.
func (c *Changes) changes(m memo) (all []contexts.Change) {
	key := c.sel.Key(m.rel)
	if m.is(memoRemove) {
		all = append(all, contexts.Change{Path: key, Remove: true})
	}
	if m.is(memoPut) {
		e := m.Entry
		e.Path = key
		all = append(all, contexts.Change{Path: key, Entry: e})
	}
	return all
}

// Settled remembers that the changes are committed: the next Save starts from
// here. If it is not called, the next Save finds them again.
func (c *Changes) Settled() error {
	if c.path == "" || c.memory == "" {
		return nil
	}
	if err := os.Rename(c.path, c.memory); err != nil {
		return failed(err, "save", c.memory)
	}
	c.path = ""
	return nil
}

// Close removes what All and Settled need.
func (c *Changes) Close() error {
	if c.path == "" {
		return nil
	}
	path := c.path
	c.path = ""
	return os.Remove(path)
}
