package bay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// # Mounts
//
// A session sees a context through a mount: the context's files as they were
// when it was made, which the host keeps checked out, and on top of them what
// the session writes. Saving takes what was written to the context. The mount is
// recorded before it exists, and its record is pending until what the session
// wrote is saved, so that nothing is lost when the machine or the server ends.

// A mount is one mount of a live session.
type mount struct {
	store.Mount // guarded by Bay.mu, but for what is known when it is planned

	selection tree.Selection
	mounted   bool           // the session sees it; guarded by Bay.mu
	files     *tree.Checkout // nil while nothing is checked out for it; guarded by Bay.mu

	busy sync.Mutex // one movement at a time
}

// maxMounts is how many contexts a session can mount.
const maxMounts = 64

// planMounts checks mounts that a session is to have, before anything is made.
// The contexts must be the key's.
func (c *caller) planMounts(ctx context.Context, wanted []agentbay.ContextMount) ([]*mount, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	if err := c.mayKeep(); err != nil {
		return nil, err
	}
	if len(wanted) > maxMounts {
		return nil, agentbay.Errorf(agentbay.Invalid, "a session can mount %d contexts, not %d", maxMounts, len(wanted))
	}
	list := make([]*mount, 0, len(wanted))
	for _, w := range wanted {
		m, err := c.planMount(ctx, w)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o *mount) bool { return o.target() == m.target() }) {
			return nil, occupied(w.Path)
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b *mount) int { return contexts.Compare(a.target(), b.target()) }) // what is above comes first
	return list, nil
}

func (c *caller) planMount(ctx context.Context, w agentbay.ContextMount) (*mount, error) {
	selection, err := tree.Select(w)
	if err != nil {
		return nil, err
	}
	x, err := c.bay.Store.Context(ctx, w.Context)
	if err != nil || x.KeyID != c.key.ID {
		return nil, noContext(w.Context)
	}
	w.Name, w.BoundAt = x.Name, time.Now()
	return &mount{Mount: store.Mount{ContextMount: w, Pending: true}, selection: selection}, nil
}

// target is where the mount is in the session, in one spelling.
func (m *mount) target() string {
	key, _ := tree.Key(m.Path) // Select has seen it
	return "/" + key
}

func occupied(path string) error {
	return agentbay.Errorf(agentbay.Conflict, "PathAlreadyBound: %s is mounted already; choose another path", shorten(path))
}

// record makes mounts a session's, in memory and in the store.
func (b *Bay) record(ctx context.Context, s *session, list []*mount) error {
	b.mu.Lock()
	if s.State != agentbay.Running {
		b.mu.Unlock()
		return gone(s.Session)
	}
	if len(s.mounts)+len(list) > maxMounts {
		b.mu.Unlock()
		return agentbay.Errorf(agentbay.Invalid, "a session can mount %d contexts; this one has %d", maxMounts, len(s.mounts))
	}
	for _, m := range list {
		if err := s.freeLocked(m); err != nil {
			b.mu.Unlock()
			return err
		}
	}
	for _, m := range list {
		m.Session, m.MountName = s.ID, fmt.Sprintf("c%d", s.named)
		s.named++
		s.mounts = append(s.mounts, m)
		s.taskLocked(m.Context, m.Path, agentbay.Download).set(agentbay.SyncWaiting, nil)
	}
	b.mu.Unlock()
	for _, m := range list {
		if err := b.Store.AddMount(ctx, m.Mount); err != nil {
			b.unmount(ctx, s, list...)
			return orInternal(err, "the mounts could not be recorded; try again")
		}
	}
	return nil
}

// freeLocked refuses a mount where there is one, or above one, which it would hide.
func (s *session) freeLocked(m *mount) error {
	for _, o := range s.mounts {
		rel, above := beneath(m.target(), o.target())
		switch {
		case !above:
		case rel == "":
			return occupied(m.Path)
		default:
			return agentbay.Errorf(agentbay.Conflict, "PathAlreadyBound: %s would hide %s, which is mounted below it; choose another path, or mount both when the session is made",
				shorten(m.Path), shorten(o.Path))
		}
	}
	return nil
}

// unmount forgets mounts that did not come to be.
func (b *Bay) unmount(ctx context.Context, s *session, list ...*mount) {
	b.mu.Lock()
	s.mounts = slices.DeleteFunc(s.mounts, func(m *mount) bool { return slices.Contains(list, m) })
	b.mu.Unlock()
	for _, m := range list {
		b.check(s, "unmount", b.Store.DropMount(context.WithoutCancel(ctx), m.Session, m.MountName))
		b.letFiles(m)
	}
}

// letFiles gives back what is checked out for a mount.
func (b *Bay) letFiles(m *mount) {
	b.mu.Lock()
	files := m.files
	m.files = nil
	b.mu.Unlock()
	if files != nil {
		files.Release()
	}
}

// mountAll makes recorded mounts in a running session. Each has a task that
// tells of it; failures are returned too. Where the files of one take long to
// come, its directory is shown without them, and they follow.
func (b *Bay) mountAll(ctx context.Context, s *session, list []*mount) error {
	ready := make([]*prepared, len(list))
	var few errgroup.Group
	few.SetLimit(4)
	for i, m := range list {
		few.Go(func() error {
			ready[i] = b.prepare(ctx, s, m)
			return nil
		})
	}
	few.Wait()
	b.attach(ctx, s, ready)
	var failed error
	for _, p := range ready {
		failed = errors.Join(failed, b.settle(ctx, s, p))
	}
	return failed
}

// A prepared mount is one that is about to be made. Its mount is busy until it
// is settled.
type prepared struct {
	*mount
	task  *task
	root  contexts.Root
	files *tree.Checkout // nil if there are none, or they are late
	late  bool
	err   error // why it cannot be made
}

// patience is how long a mount waits for its files before it is shown without.
const patience = 5 * time.Second

// prepare gets a mount's files onto the host. They are late if that takes long.
func (b *Bay) prepare(ctx context.Context, s *session, m *mount) *prepared {
	m.busy.Lock()
	p := &prepared{mount: m, task: b.task(s, m.Context, m.Path, agentbay.Download)}
	short, cancel := context.WithTimeout(ctx, cmp.Or(b.Data.Patience, patience))
	defer cancel()
	root, release, err := b.settledRoot(short, s, m.Context)
	if err == nil {
		b.report(p.task, agentbay.SyncRunning, nil)
		p.root = root
		p.files, err = b.checkOut(short, s, m, root, p.task)
		release()
	}
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		p.late, err = true, nil
	}
	if p.files == nil { // what is late, or not wanted yet, is not below what the session writes
		p.root = contexts.Root{}
	}
	if p.err = err; err == nil {
		p.err = b.recordFiles(ctx, s, p)
	}
	return p
}

// noFiles is recorded, in place of a checkout, of a mount that was begun without
// files. Of one that was not begun yet nothing is.
const noFiles = "none"

// recordFiles records what is below what a session will write to a mount, before
// the machine hears of it: a mount that was begun can only be gone on with as it
// was begun.
func (b *Bay) recordFiles(ctx context.Context, s *session, p *prepared) error {
	checkout := noFiles
	if p.files != nil {
		checkout = p.files.ID
	}
	b.mu.Lock()
	p.mount.files, p.Root, p.Checkout = p.files, p.root.String(), checkout
	b.mu.Unlock()
	err := b.Store.SetMount(context.WithoutCancel(ctx), s.ID, p.MountName, p.root.String(), checkout)
	return orInternal(err, "the mount could not be recorded; try again")
}

// attach shows a session its mounts, all at once if that works, so that one
// that cannot be made does not keep it from the others.
func (b *Bay) attach(ctx context.Context, s *session, list []*prepared) {
	list = slices.DeleteFunc(slices.Clone(list), func(p *prepared) bool { return p.err != nil })
	mounts := make([]runtime.Mount, len(list))
	for i, p := range list {
		mounts[i] = p.asked()
	}
	if len(list) == 0 || s.machine.Mount(ctx, s.ID, mounts...) == nil {
		return
	}
	for i, p := range list {
		err := s.machine.Mount(ctx, s.ID, mounts[i])
		p.err = agentbay.Wrap(err, agentbay.CodeOf(err), "%s could not be mounted: %s", shorten(p.Path), agentbay.MessageOf(err))
	}
}

// asked is the mount as the runtime makes it.
func (p *prepared) asked() runtime.Mount {
	m := runtime.Mount{Name: p.MountName, Target: p.target()}
	if p.files != nil {
		m.Layers = p.files.Layers
	}
	return m
}

// settle tells what became of a mount, and has its files follow if they are
// late.
func (b *Bay) settle(ctx context.Context, s *session, p *prepared) error {
	if p.err != nil {
		p.busy.Unlock()
		b.report(p.task, agentbay.SyncFailed, p.err)
		b.unmount(ctx, s, p.mount)
		b.check(s, "mount", p.err)
		return p.err
	}
	b.shown(s, p)
	return nil
}

// shown notes that a session sees a mount.
func (b *Bay) shown(s *session, p *prepared) {
	b.mu.Lock()
	p.mounted = true
	b.mu.Unlock()
	if !p.late {
		p.busy.Unlock()
		b.report(p.task, agentbay.SyncSuccess, nil)
		return
	}
	b.beginSync(s, p.task)
	b.background.Go(func() {
		defer p.busy.Unlock()
		b.endSync(s, p.task, b.refresh(s.alive, s, p.mount, "", p.task))
	})
}

// checkOut gets the files of a mount that wants them at once.
func (b *Bay) checkOut(ctx context.Context, s *session, m *mount, root contexts.Root, t *task) (*tree.Checkout, error) {
	if m.Policy.ManualDownload || root == (contexts.Root{}) {
		return nil, nil
	}
	files, err := b.Data.Trees.Checkout(ctx, b.Data.repo(s.KeyID), root, b.view(s, m), &t.progress)
	return files, orInternal(err, "the files of context %s could not be read", m.Context)
}

// settledRoot is a context's state once other sessions have saved what they
// wrote to it, with all that clients have put there. Nothing of it is collected until release is called.
func (b *Bay) settledRoot(ctx context.Context, s *session, id agentbay.ContextID) (root contexts.Root, release func(), err error) {
	if err := b.awaitSaves(ctx, s, id); err != nil {
		return root, nil, err
	}
	x := store.Context{KeyID: s.KeyID, ContextInfo: agentbay.ContextInfo{ID: id}}
	if err := b.takeIn(ctx, x); err != nil {
		return root, nil, err
	}
	root, release, err = b.root(ctx, x)
	if err != nil {
		return root, nil, orInternal(err, "context %s could not be looked up", id)
	}
	b.check(s, "touch", b.Store.TouchContext(ctx, id, time.Now()))
	return root, release, nil
}

// awaitSaves waits until no session that has ended still has to save to a
// context. One whose saving has failed, and is tried again later, is not waited
// for.
func (b *Bay) awaitSaves(ctx context.Context, s *session, id agentbay.ContextID) error {
	for {
		saved := b.saving(s, id)
		if saved == nil {
			return nil
		}
		select {
		case <-saved:
		case <-ctx.Done():
			return agentbay.Wrap(ctx.Err(), agentbay.Unavailable, "another session is still saving to context %s; try again", id)
		}
	}
}

// saving returns what is closed when one session other than s, which has ended,
// has tried to save to a context; nil if there is none.
func (b *Bay) saving(s *session, id agentbay.ContextID) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.live {
		if o == s || o.State == agentbay.Running || o.saving == nil {
			continue
		}
		if slices.ContainsFunc(o.mounts, func(m *mount) bool { return m.Context == id && m.Pending && !m.Policy.ManualUpload }) {
			return o.saving
		}
	}
	return nil
}

// view says how a session sees a mount's files.
func (b *Bay) view(s *session, m *mount) tree.View {
	return tree.View{Tenant: s.KeyID, Context: m.Context, Selection: m.selection, Extract: m.Policy.Extract, UID: s.user.UID, GID: s.user.GID}
}

func (c *caller) MountContexts(ctx context.Context, id agentbay.SessionID, wanted ...agentbay.ContextMount) error {
	use, err := c.use(ctx, id, "mount contexts")
	if err != nil {
		return err
	}
	list, err := c.planMounts(use.ctx, wanted)
	if err == nil {
		err = c.bay.record(use.ctx, use.session, list)
	}
	if err == nil {
		err = c.bay.mountAll(use.ctx, use.session, list)
	}
	return use.end(err)
}

func (c *caller) ContextMounts(ctx context.Context, id agentbay.SessionID) ([]agentbay.ContextMount, error) {
	s, err := c.running(ctx, id)
	if err != nil {
		return nil, err
	}
	c.bay.mu.Lock()
	defer c.bay.mu.Unlock()
	list := []agentbay.ContextMount{}
	for _, m := range s.mounts {
		if m.mounted {
			list = append(list, m.ContextMount)
		}
	}
	return list, nil
}

// remount takes over the mounts of a session that an earlier server left.
func (b *Bay) remount(ctx context.Context, s *session) error {
	list, err := b.Store.Mounts(ctx, s.ID)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return nil
	}
	if b.Data == nil {
		return fmt.Errorf("it mounts contexts: %w", errNoData)
	}
	if s.user == (runtime.User{}) { // of a session that has ended
		img, err := b.Images.Get(s.ImageDigest)
		if err != nil {
			return fmt.Errorf("its image: %w", err)
		}
		s.user = img.Config.User
	}
	for _, x := range list {
		m := &mount{Mount: x}
		s.mounts = append(s.mounts, m)
		if err := b.takeOver(ctx, s, m); err != nil {
			for _, m := range s.mounts {
				b.letFiles(m) // it is tried again with another session in memory
			}
			return fmt.Errorf("mount %s: %w", x.Path, err)
		}
		s.named = max(s.named, nameNumber(x.MountName)+1)
	}
	return nil
}

// takeOver finds out what there is of a mount that an earlier server left.
func (b *Bay) takeOver(ctx context.Context, s *session, m *mount) (err error) {
	if m.selection, err = tree.Select(m.ContextMount); err != nil {
		return err
	}
	if m.Checkout != "" && m.Checkout != noFiles {
		if m.files, err = b.Data.Trees.Hold(m.Checkout); err != nil {
			b.check(s, "hold files", err)
		}
	}
	if m.mounted, err = isMounted(ctx, s, m); err != nil {
		return err
	}
	if !m.mounted && !s.State.Alive() && m.Pending && m.Checkout != "" {
		b.Log.Warn("a mount is gone with its machine; what was written to it, if anything, is lost", "session", s.ID, "context", m.Context, "path", m.Path)
	}
	return nil
}

// isMounted reports whether a session's machine has a mount.
func isMounted(ctx context.Context, s *session, m *mount) (bool, error) {
	written, err := s.machine.Written(ctx, s.ID, m.MountName)
	if errors.Is(err, agentbay.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, written.Close()
}

func nameNumber(name string) (n int) {
	fmt.Sscanf(name, "c%d", &n)
	return n
}

// finishMounts goes on with the mounts of a running session of an earlier server,
// which may have been killed in the middle of any.
func (b *Bay) finishMounts(s *session) {
	b.mu.Lock()
	list := slices.Clone(s.mounts)
	b.mu.Unlock()
	if len(list) == 0 {
		return
	}
	b.background.Go(func() {
		for _, m := range list {
			b.finishMount(s, m)
		}
	})
}

// finishMount goes on with a mount as it was begun, which changes nothing if the
// session has it. What the session may have written to it is not forgotten if
// that fails.
func (b *Bay) finishMount(s *session, m *mount) {
	if m.Checkout == "" && !m.mounted {
		_ = b.mountAll(s.alive, s, []*mount{m}) // a failure is on its task and in the log
		return
	}
	m.busy.Lock()
	p := &prepared{mount: m, files: m.files}
	var err error
	if m.files != nil || m.Checkout == noFiles {
		err = notConflict(s.machine.Mount(s.alive, s.ID, p.asked()))
	}
	if m.mounted || err != nil {
		m.busy.Unlock()
		b.check(s, "finish a mount", err)
		return
	}
	p.late = m.files == nil && !m.Policy.ManualDownload // nobody has waited for them
	p.task = b.task(s, m.Context, m.Path, agentbay.Download)
	b.shown(s, p)
}

// notConflict is err, unless it says that a mount is there.
func notConflict(err error) error {
	if agentbay.CodeOf(err) == agentbay.Conflict {
		return nil
	}
	return err
}
