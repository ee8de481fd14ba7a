package bay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// Sync implements [agentbay.ContextService].
func (c *caller) Sync(ctx context.Context, req agentbay.SyncRequest) error {
	req.Mode = cmp.Or(req.Mode, agentbay.Upload)
	if req.Mode != agentbay.Upload && req.Mode != agentbay.Download {
		return agentbay.Errorf(agentbay.Invalid, "there is no sync mode %q; there is upload and download", shorten(string(req.Mode)))
	}
	use, err := c.use(ctx, req.Session, "sync "+string(req.Mode))
	if err != nil {
		return err
	}
	moves, err := c.moves(ctx, use.session, req)
	if err != nil {
		return use.end(err)
	}
	// Each goes on when the call has ended, and keeps the session from being idle.
	for _, m := range moves {
		one, err := c.use(context.WithoutCancel(ctx), req.Session, "move files")
		if err != nil {
			return use.end(err)
		}
		t, err := c.bay.newMove(one.session, m, req.Mode)
		if err != nil {
			return errors.Join(one.end(err), use.end(nil))
		}
		c.bay.beginSync(one.session, t)
		c.bay.background.Go(func() {
			err := m.run(one.ctx, t)
			c.bay.endSync(one.session, t, err)
			c.bay.moved(one.session)
			one.end(err)
		})
	}
	return use.end(nil)
}

// maxMoves is how many movements a session can have under way.
const maxMoves = 100

// newMove starts the task of a movement, for which the caller calls moved when it
// has ended.
func (b *Bay) newMove(s *session, m move, mode agentbay.SyncMode) (*task, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.moves >= maxMoves {
		return nil, agentbay.Errorf(agentbay.Exhausted, "session %s has %d syncs under way; wait until some have ended", s.ID, s.moves)
	}
	s.moves++
	return s.taskLocked(m.context, m.path, mode), nil
}

func (b *Bay) moved(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.moves--
}

// beginSync records a movement, so that the next server goes on with it if this
// one is killed.
func (b *Bay) beginSync(s *session, t *task) {
	b.check(s, "record a sync", b.Store.BeginSync(b.ctx, t.request(s)))
}

// endSync ends a movement the way err says. One that a shutdown ends has not
// ended for good.
func (b *Bay) endSync(s *session, t *task, err error) {
	b.mu.Lock()
	closing := b.closing
	b.mu.Unlock()
	if err == nil || !closing {
		b.check(s, "record the end of a sync", b.Store.EndSync(context.WithoutCancel(b.ctx), t.request(s)))
	}
	b.finish(t, err)
}

// resume goes on with what an earlier server was moving.
func (b *Bay) resume(ctx context.Context, s *session) {
	list, err := b.Store.OpenSyncs(ctx, s.ID)
	if err != nil || len(list) == 0 {
		b.check(s, "read open syncs", err)
		return
	}
	key, err := b.Store.Key(ctx, s.KeyID)
	if err != nil {
		return // whoever asked is gone
	}
	c := &caller{bay: b, key: key}
	for _, r := range list {
		b.check(s, "resume a sync", c.Sync(ctx, r))
	}
}

// A move is one movement of files that was asked for.
type move struct {
	context agentbay.ContextID
	path    string // as it was asked for
	run     func(context.Context, *task) error
}

// moves finds what a request is about: mounts, a part of one, or some other path
// of the session.
func (c *caller) moves(ctx context.Context, s *session, req agentbay.SyncRequest) ([]move, error) {
	if req.Context == "" && req.Path != "" {
		return nil, agentbay.Errorf(agentbay.Invalid, "a sync of path %s needs the context too", shorten(req.Path))
	}
	key, err := tree.Key(req.Path)
	if err != nil {
		return nil, err
	}
	var list []move
	var inner *mount
	for _, m := range c.bay.mountsOf(s) {
		_, below := beneath(m.target(), "/"+key)
		switch {
		case req.Context != "" && m.Context != req.Context:
		case req.Path == "":
			list = append(list, c.bay.mountMove(s, m, req.Mode, m.Path, ""))
		case below && (inner == nil || len(m.target()) > len(inner.target())):
			inner = m
		}
	}
	if inner != nil {
		rel, _ := beneath(inner.target(), "/"+key)
		return []move{c.bay.mountMove(s, inner, req.Mode, req.Path, rel)}, nil
	}
	if req.Path == "" {
		if req.Context != "" && len(list) == 0 {
			return nil, agentbay.Errorf(agentbay.NotFound, "context %s is not mounted in session %s; bind it first, or say which path to move", shorten(string(req.Context)), s.ID)
		}
		return list, nil
	}
	if _, err := c.context(ctx, req.Context); err != nil {
		return nil, err
	}
	return []move{c.transferMove(req, key)}, nil
}

// mountsOf returns the mounts a session has.
func (b *Bay) mountsOf(s *session) (list []*mount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range s.mounts {
		if m.mounted {
			list = append(list, m)
		}
	}
	return list
}

// beneath returns what a path is relative to a directory it is in, or is.
func beneath(dir, path string) (rel string, ok bool) {
	if path == dir {
		return "", true
	}
	return strings.CutPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// mountMove moves what is in a mount, or the part of it at rel.
func (b *Bay) mountMove(s *session, m *mount, mode agentbay.SyncMode, path, rel string) move {
	return move{m.Context, path, func(ctx context.Context, t *task) error {
		m.busy.Lock()
		defer m.busy.Unlock()
		if mode == agentbay.Upload {
			return b.save(ctx, s, m, t, false)
		}
		return b.refresh(ctx, s, m, rel, t)
	}}
}

// refresh brings files of the context into a mount: those at rel, or all.
func (b *Bay) refresh(ctx context.Context, s *session, m *mount, rel string, t *task) error {
	b.report(t, agentbay.SyncWaiting, nil)
	root, release, err := b.settledRoot(ctx, s, m.Context)
	if err != nil {
		return err
	}
	defer release()
	b.report(t, agentbay.SyncRunning, nil)
	written, err := s.machine.Written(ctx, s.ID, m.MountName)
	if err != nil {
		return err
	}
	defer written.Close()
	err = tree.Load(ctx, b.Data.repo(s.KeyID), root, b.tree(s, m, written), rel, &t.progress)
	return orInternal(err, "the files of context %s could not be brought into the session; try again", m.Context)
}

// save saves what a session wrote to a mount, for good if last is set. Once it
// returns nil, that survives the loss of power.
func (b *Bay) save(ctx context.Context, s *session, m *mount, t *task, last bool) error {
	part := int64(1)
	if last {
		part = 4 // what has been saved can be freed
	}
	if err := b.HighWater.room(part, "nothing is saved"); err != nil {
		return err
	}
	if err := b.takeIn(ctx, store.Context{KeyID: s.KeyID, ContextInfo: agentbay.ContextInfo{ID: m.Context}}); err != nil {
		return err
	}
	back, err := turn(ctx, b.Data.saving())
	if err != nil {
		return err
	}
	defer back()
	written, err := s.machine.Written(ctx, s.ID, m.MountName)
	if errors.Is(err, agentbay.NotFound) {
		err = errUnwritten
	}
	if err != nil {
		return err
	}
	defer written.Close()
	root, err := b.saveWritten(ctx, s, m, b.tree(s, m, written), t, last)
	if err != nil {
		return orInternal(err, "what the session wrote to %s could not be saved; try again", shorten(m.Path))
	}
	b.readAhead(s, m, root)
	return b.Store.SetRecycle(ctx, m.Context, m.selection.Prefix(), recycleRules(m))
}

// saveWritten commits what a session wrote to a mount.
func (b *Bay) saveWritten(ctx context.Context, s *session, m *mount, wrote tree.Tree, t *task, last bool) (root contexts.Root, err error) {
	repo := b.Data.repo(s.KeyID)
	w, err := repo.Writer(ctx)
	if err != nil {
		return root, err
	}
	defer w.Close()
	changes, err := tree.Save(ctx, w, repo, wrote, &t.progress)
	if err != nil {
		return root, err
	}
	defer changes.Close()
	e := edit{context: m.Context, reason: "session", session: s.ID}
	e.changes = func(contexts.Root) iter.Seq2[contexts.Change, error] { return changes.All() }
	if last {
		e.settles = m.MountName
	}
	if root, err = b.commit(ctx, w, e); err != nil {
		return root, err
	}
	if left := t.progress.Warnings(); len(left) > 0 {
		b.Log.WarnContext(ctx, "not all of a mount could be saved", "session", s.ID, "path", m.Path, "why", strings.Join(left[:min(len(left), 5)], "; "), "more", max(0, len(left)-5))
	}
	return root, changes.Settled()
}

// tree is a mount as directories of the host.
func (b *Bay) tree(s *session, m *mount, w runtime.Written) tree.Tree {
	root, _ := contexts.ParseRoot(m.Root) // we wrote it
	return tree.Tree{
		Root: root, Upper: w.Upper, Merged: w.Merged, Base: w.Base, UID: s.user.UID, GID: s.user.GID, Selection: m.selection,
		Memory: b.memory(m), Archive: m.Policy.Archive, KeepDeleted: m.Policy.KeepDeleted, Extract: m.Policy.Extract,
	}
}

// memory is the file that remembers what of a mount is saved.
func (b *Bay) memory(m *mount) string {
	return filepath.Join(b.Data.Dir, string(m.Session)+"."+m.MountName)
}

// recycleRules is what a mount's policy says of the files below it.
func recycleRules(m *mount) (rules []store.Recycle) {
	if m.Policy.Recycle.Days == 0 {
		return nil
	}
	for _, p := range m.Policy.Recycle.Paths {
		path := strings.Trim(m.selection.Prefix()+"/"+strings.Trim(p, "/"), "/")
		rules = append(rules, store.Recycle{Context: m.Context, Path: path, Days: m.Policy.Recycle.Days})
	}
	return rules
}

// readAhead checks out what was just saved, so that the next session which
// mounts it need not wait.
func (b *Bay) readAhead(s *session, m *mount, root contexts.Root) {
	view := b.view(s, m)
	repo := b.Data.repo(s.KeyID)
	b.background.Go(func() {
		files, err := b.Data.Trees.Checkout(b.ctx, repo, root, view, new(tree.Progress))
		if err == nil {
			files.Release()
		}
	})
}

// saveAll saves what a session that has ended wrote, as its mounts want it. What
// fails is tried again by the next sweep.
func (b *Bay) saveAll(s *session) error {
	open := b.unsaved(s)
	if len(open) == 0 {
		return nil
	}
	if err := b.join(); err != nil {
		return err // the next server does it
	}
	defer b.inFlight.Done()
	defer b.savingOver(s)
	b.closeBrowser(s)
	if err := s.machine.Halt(b.ctx, s.ID); err != nil {
		return fmt.Errorf("halt: %w", err)
	}
	var failed error
	for _, m := range open {
		failed = errors.Join(failed, b.saveLast(s, m))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.EndReason = strings.TrimSuffix(s.EndReason, unsavedMark)
	if failed != nil {
		s.EndReason += unsavedMark
	}
	return failed
}

// unsaved returns the mounts of which something may have to be saved, and says
// that it is being done.
func (b *Bay) unsaved(s *session) []*mount {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.oweLocked()
	return s.unsavedLocked()
}

func (s *session) unsavedLocked() (list []*mount) {
	for _, m := range s.mounts {
		if m.mounted && m.Pending && !m.Policy.ManualUpload {
			list = append(list, m)
		}
	}
	return list
}

// oweLocked has others wait for what an ended session is still to save.
func (s *session) oweLocked() {
	if s.saving == nil && len(s.unsavedLocked()) > 0 {
		s.saving = make(chan struct{})
	}
}

// savingOver lets those go on who wait for the session's files.
func (b *Bay) savingOver(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(s.saving)
	s.saving = nil
}

// saveLast saves a mount for the last time. One whose context or machine is gone
// has nothing to save.
func (b *Bay) saveLast(s *session, m *mount) error {
	m.busy.Lock()
	defer m.busy.Unlock()
	t := b.task(s, m.Context, m.Path, agentbay.Upload)
	err := b.save(b.ctx, s, m, t, true)
	b.finish(t, err)
	if err != nil && !b.isLost(s, m, err) {
		return fmt.Errorf("save %s: %w", m.Path, err)
	}
	b.mu.Lock()
	m.Pending = false
	b.mu.Unlock()
	return b.Store.SettleMount(b.ctx, m.Session, m.MountName)
}

// isLost reports whether what a session wrote to a mount can never be saved:
// because the context was deleted, which is in order, or because the machine has
// nothing of the mount any more, which is not.
func (b *Bay) isLost(s *session, m *mount, err error) bool {
	if errors.Is(err, errUnwritten) {
		b.Log.Error("what a session wrote is lost: the host has nothing of its mount", "session", s.ID, "context", m.Context, "path", m.Path)
		return true
	}
	if !errors.Is(err, agentbay.NotFound) {
		return false
	}
	_, err = b.Store.Context(b.ctx, m.Context)
	return errors.Is(err, agentbay.NotFound)
}

// errUnwritten says that the host has nothing of a mount.
var errUnwritten = errors.New("the host has nothing of the mount")

// unsavedMark is what callers read of a session whose files are not safe yet.
const unsavedMark = "; its files are not saved yet, which is tried again"

// letMounts gives back what a session's mounts hold on the host besides its
// machine.
func (b *Bay) letMounts(ctx context.Context, s *session) error {
	b.mu.Lock()
	list := s.mounts
	b.mu.Unlock()
	for _, m := range list {
		if err := b.letMount(m); err != nil {
			return err
		}
	}
	if b.Data == nil {
		return nil
	}
	err := b.Store.DeleteContext(ctx, transferID(s.ID))
	if agentbay.CodeOf(err) == agentbay.NotFound {
		return nil
	}
	return err
}

// letMount gives back what a mount holds. A movement that is under way ends
// first: it would remember what it has moved.
func (b *Bay) letMount(m *mount) error {
	m.busy.Lock()
	defer m.busy.Unlock()
	b.letFiles(m)
	return tree.Forget(b.memory(m))
}

// startData takes up what an earlier server left of contexts.
func (b *Bay) startData(ctx context.Context) error {
	for x, err := range b.Store.EachContext(ctx) {
		switch {
		case err != nil:
			return err
		case x.State == agentbay.ContextClearing:
			b.background.Go(func() { b.clearContext(x.ID) })
		case x.Hidden != "" && !b.hasTransfer(x.ID):
			if err := b.Store.DeleteContext(ctx, x.ID); err != nil {
				return err
			}
		}
	}
	if err := b.reindex(ctx); err != nil {
		return err
	}
	b.background.Go(func() { b.every(recycleEvery, b.recycleAll) })
	b.background.Go(b.collectAll)
	return nil
}

// reindex tells the index what is in the blob store, if the index was lost.
func (b *Bay) reindex(ctx context.Context) error {
	keys, err := b.Store.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		lost, err := b.lostIndex(ctx, k.ID)
		if err != nil {
			return err
		}
		if !lost {
			continue
		}
		packs, damaged, err := b.Data.repo(k.ID).Reindex(ctx)
		if packs > 0 || err != nil {
			b.Log.Warn("the index of contexts was empty and has been made anew", "key", k.ID, "packs", packs, "damaged", damaged, "err", err)
		}
	}
	return nil
}

// lostIndex reports whether a tenant has data and the index knows of none. It
// does not ask the blob store, which would make each start list it once a key.
func (b *Bay) lostIndex(ctx context.Context, tenant string) (bool, error) {
	for _, err := range b.Store.AllRoots(ctx, tenant) {
		if err != nil {
			return false, err
		}
		known, err := b.Data.Chunks(tenant).Packs(ctx)
		return len(known) == 0, err
	}
	return false, nil
}

func (b *Bay) recycleAll(ctx context.Context) {
	if err := b.Recycle(ctx, time.Now()); err != nil && ctx.Err() == nil {
		b.Log.ErrorContext(ctx, "old files could not be recycled; it is tried again", "err", err)
	}
}

// wantCollect asks for what a deletion left to be freed soon.
func (b *Bay) wantCollect() {
	select {
	case b.garbage <- struct{}{}:
	default: // it has been asked for
	}
}

// collectAll frees data now and then until the bay ends: all of it each hour, and
// what was in use sooner.
func (b *Bay) collectAll() {
	var some map[string]bool // nil for all
	for all := time.Now(); ; {
		left, err := b.collectOnce(b.ctx, some)
		if err != nil && b.ctx.Err() == nil {
			b.Log.Error("context data could not be collected; it is tried again", "err", gate.Scrub(err.Error()))
		}
		some = left
		select {
		case <-b.ctx.Done():
			return
		case <-b.garbage:
			some = nil
		case <-time.After(sweepEvery):
		}
		if some == nil || time.Since(all) >= collectEvery {
			some, all = nil, time.Now()
		}
	}
}
