package bay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
)

// Data is what contexts are kept in. Dir, Blobs, Chunks and Trees must be set; a Bay
// without Data has no contexts.
type Data struct {
	Dir    string // for what this host remembers of mounts
	Blobs  blob.Store
	Chunks func(tenant string) contexts.Index // where each tenant's chunks are
	Trees  *tree.Cache                        // what of them is checked out on this host
	Direct blob.Presigner                     // Blobs, if clients reach it by themselves; nil means that all files pass here

	Patience  time.Duration // how long a mount waits for its files before it is shown without; 0 means 5 s
	MaxPerKey int64         // bytes of files, for keys that do not say; 0 means no limit
	Snapshots int           // kept of each context; 0 means 20
	History   time.Duration // snapshots older than that are not kept; 0 means 30 days

	mu      sync.Mutex
	tenants map[string]*tenant               // guarded by mu; by name, which is an API key's ID
	saves   chan struct{}                    // a token for each session that is being saved; made under mu
	commits map[agentbay.ContextID]*commitMu // guarded by mu; who changes a context
}

// A commitMu makes those who change one context wait for one another, so that
// none has to do its work twice.
type commitMu struct {
	sync.Mutex
	users int // guarded by Data.mu
}

// errNoData is the answer of a bay without contexts.
var errNoData = agentbay.Errorf(agentbay.Unavailable, "this bay keeps no contexts; it was started without a place for their data")

// A tenant is the data of one API key.
type tenant struct {
	*contexts.Repo
	puts chan struct{} // a token for each file that is being put
}

// Who stores holds up to 100 MB in memory, so only so many may at once: sessions
// of the whole bay, and files that are put by one key.
const maxSaves, maxPuts = 4, 8

func (d *Data) tenant(name string) *tenant {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tenants[name]
	if t == nil {
		t = &tenant{contexts.New(name, private{d.Blobs}, d.Chunks(name)), make(chan struct{}, maxPuts)}
		if d.tenants == nil {
			d.tenants = map[string]*tenant{}
		}
		d.tenants[name] = t
	}
	return t
}

// repo returns the data of a tenant.
func (d *Data) repo(name string) *contexts.Repo { return d.tenant(name).Repo }

// saving returns where a session takes its turn to be saved.
func (d *Data) saving() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saves == nil {
		d.saves = make(chan struct{}, maxSaves)
	}
	return d.saves
}

// turn waits for one of the tokens that a channel has room for. The caller gives
// it back.
func turn(ctx context.Context, tokens chan struct{}) (back func(), err error) {
	select {
	case tokens <- struct{}{}:
		return func() { <-tokens }, nil
	case <-ctx.Done():
		return nil, agentbay.Wrap(ctx.Err(), agentbay.Exhausted, "too much is being stored at once; try again in a moment")
	}
}

// lock makes the caller the only one in this bay that changes a context, until
// it calls unlock.
func (d *Data) lock(id agentbay.ContextID) (unlock func()) {
	d.mu.Lock()
	m := d.commits[id]
	if m == nil {
		m = new(commitMu)
		if d.commits == nil {
			d.commits = map[agentbay.ContextID]*commitMu{}
		}
		d.commits[id] = m
	}
	m.users++
	d.mu.Unlock()
	m.Lock()
	return func() {
		m.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		if m.users--; m.users == 0 {
			delete(d.commits, id)
		}
	}
}

// root returns a context's state as it is now. Nothing of it is collected until
// release is called.
func (b *Bay) root(ctx context.Context, x store.Context) (root contexts.Root, release func(), err error) {
	release, err = b.Data.repo(x.KeyID).Hold(ctx)
	if err != nil {
		return root, nil, err
	}
	now, err := b.Store.Context(ctx, x.ID)
	if err == nil {
		root, err = contexts.ParseRoot(now.Root)
	}
	if err != nil {
		release()
	}
	return root, release, err
}

// An edit is a change of a context: what, why and by which session.
type edit struct {
	context agentbay.ContextID
	reason  string
	session agentbay.SessionID
	settles string                                                    // the mount of the session that is saved for good by this; may be empty
	changes func(now contexts.Root) iter.Seq2[contexts.Change, error] // may be asked for again
	adds    *bool                                                     // set by changes: nothing that was there is lost; may be nil
}

// commit applies an edit to the context as it is now. Either all of it is done,
// and survives the loss of power, or nothing. It returns the new root.
//
// NotFound: the context is gone.
// Exhausted: the key's quota would be exceeded.
func (b *Bay) commit(ctx context.Context, w *contexts.Writer, e edit) (contexts.Root, error) {
	defer b.Data.lock(e.context)()
	for {
		x, err := b.Store.Context(ctx, e.context)
		if err != nil {
			return contexts.Root{}, err
		}
		root, err := b.apply(ctx, w, x, e)
		if err != errRaced {
			return root, err
		}
	}
}

// change commits an edit for which nothing needs to be stored before.
func (b *Bay) change(ctx context.Context, x store.Context, e edit) error {
	w, err := b.Data.repo(x.KeyID).Writer(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	e.context = x.ID
	_, err = b.commit(ctx, w, e)
	return err
}

// oneSnapshot is how long files that are put one after the other, none in the
// place of another, are one state of the history.
const oneSnapshot = time.Minute

// errRaced says that a context was changed by somebody else meanwhile.
var errRaced = errors.New("the context was changed meanwhile")

// apply is one try of commit, which may fail with errRaced.
func (b *Bay) apply(ctx context.Context, w *contexts.Writer, x store.Context, e edit) (contexts.Root, error) {
	old, err := contexts.ParseRoot(x.Root)
	if err != nil {
		return old, err
	}
	root, totals, err := b.Data.repo(x.KeyID).Apply(ctx, w, old, e.changes(old))
	if err != nil || root == old {
		return root, err
	}
	if err := b.checkStorage(ctx, x, totals.Bytes); err != nil {
		return root, err
	}
	now := time.Now()
	c := store.Commit{
		Context: e.context, Old: x.Root, New: root.String(), Files: totals.Files, Bytes: totals.Bytes,
		SnapshotID: gate.NewSnapshotID(), Reason: e.reason, SessionID: e.session, Settles: e.settles, At: now,
	}
	if e.adds != nil && *e.adds {
		c.Since = now.Add(-oneSnapshot)
	}
	err = b.Store.Commit(ctx, c)
	if errors.Is(err, agentbay.Conflict) {
		return root, errRaced
	}
	return root, err
}

// checkStorage refuses a context that grows beyond what its key may keep.
func (b *Bay) checkStorage(ctx context.Context, x store.Context, bytes int64) error {
	if bytes <= x.Bytes {
		return nil
	}
	left, limit, err := b.storageLeft(ctx, x.KeyID)
	if err != nil || limit == 0 || bytes-x.Bytes <= left {
		return err
	}
	return agentbay.Wrap(errQuota, agentbay.Exhausted, "this API key may keep %s in contexts, and this would be %s; delete files or contexts, or have the limit raised",
		size(limit), size(limit-left+bytes-x.Bytes))
}

// storageLeft is how much more a key may keep, and its limit; a limit of 0 is
// none.
func (b *Bay) storageLeft(ctx context.Context, keyID string) (left, limit int64, err error) {
	key, err := b.Store.Key(ctx, keyID)
	if err != nil {
		return 0, 0, agentbay.Wrap(err, agentbay.Denied, "the context's API key is gone")
	}
	limit = cmp.Or(key.MaxStorage, b.Data.MaxPerKey)
	if limit <= 0 {
		return 0, 0, nil
	}
	used, err := b.Store.ContextBytes(ctx, keyID)
	return limit - used, limit, err
}

// size is a number of bytes as people say it.
func size(n int64) string {
	switch {
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 10<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return gib(n)
}

// Each of these looks after contexts now and then.
const (
	recycleEvery = time.Hour
	collectEvery = time.Hour
)

// Recycle removes the files whose time is over at now.
func (b *Bay) Recycle(ctx context.Context, now time.Time) error {
	rules, err := b.Store.RecycleRules(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range rules {
		err := b.recycle(ctx, r, now.AddDate(0, 0, -r.Days))
		if err != nil && agentbay.CodeOf(err) != agentbay.NotFound {
			failed = errors.Join(failed, fmt.Errorf("context %s: %w", r.Context, err))
		}
	}
	return failed
}

// recycle removes the files that a rule names and that were saved before then.
func (b *Bay) recycle(ctx context.Context, rule store.Recycle, before time.Time) error {
	x, err := b.Store.Context(ctx, rule.Context)
	if err != nil {
		return err
	}
	repo := b.Data.repo(x.KeyID)
	old := func(now contexts.Root) iter.Seq2[contexts.Change, error] {
		return func(yield func(contexts.Change, error) bool) {
			for e, err := range repo.Entries(ctx, now, rule.Path) {
				over := err != nil || e.Kind != contexts.Dir && e.Saved.Before(before)
				if over && !yield(contexts.Change{Path: e.Path, Remove: true}, err) {
					return
				}
			}
		}
	}
	return b.change(ctx, x, edit{reason: "recycle", changes: old})
}

// only is the changes of an edit that does not depend on what is there.
func only(list ...contexts.Change) func(contexts.Root) iter.Seq2[contexts.Change, error] {
	return func(contexts.Root) iter.Seq2[contexts.Change, error] {
		return func(yield func(contexts.Change, error) bool) {
			for _, c := range list {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// Collect forgets snapshots that need not be kept, and frees the data that
// nothing refers to any more. A tenant whose data is in use is left to the next
// time.
func (b *Bay) Collect(ctx context.Context) error {
	_, err := b.collectOnce(ctx, nil)
	return err
}

// collectOnce is Collect for some tenants, or for all if that is nil. It returns
// those whose data was in use, or could not be collected.
func (b *Bay) collectOnce(ctx context.Context, some map[string]bool) (left map[string]bool, err error) {
	tenants, failed := some, error(nil)
	if some == nil {
		if tenants, err = b.prune(ctx); tenants == nil {
			return nil, err
		}
		failed = errors.Join(err, b.forgetTrees(ctx, tenants), b.collectDirect(ctx, tenants))
	}
	left = map[string]bool{}
	for tenant := range tenants {
		err := b.collect(ctx, tenant)
		left[tenant] = err != nil
		if err != nil && !errors.Is(err, agentbay.Conflict) {
			failed = errors.Join(failed, fmt.Errorf("data of key %s: %w", tenant, err))
		}
	}
	maps.DeleteFunc(left, func(_ string, left bool) bool { return !left })
	return left, failed
}

// prune forgets snapshots that need not be kept, and returns whose data there may
// be; nil if that cannot be told.
func (b *Bay) prune(ctx context.Context) (tenants map[string]bool, err error) {
	keys, err := b.Store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	tenants = map[string]bool{}
	for _, k := range keys {
		tenants[k.ID] = true
	}
	before := time.Now().Add(-cmp.Or(b.Data.History, 30*24*time.Hour))
	var failed error
	for x, err := range b.Store.EachContext(ctx) {
		if err != nil {
			return nil, err
		}
		tenants[x.KeyID] = true
		_, err := b.Store.PruneSnapshots(ctx, x.ID, cmp.Or(b.Data.Snapshots, 20), before)
		failed = errors.Join(failed, err, b.settleIncoming(ctx, x))
	}
	return tenants, failed
}

// forgetTrees removes what is checked out on this host of states that nothing
// refers to any more.
func (b *Bay) forgetTrees(ctx context.Context, tenants map[string]bool) error {
	needed := map[string]bool{}
	for tenant := range tenants {
		for root, err := range b.Store.AllRoots(ctx, tenant) {
			if err != nil {
				return err
			}
			needed[root] = true
		}
	}
	_, err := b.Data.Trees.Forget(func(root contexts.Root) bool { return !needed[root.String()] })
	return err
}

// collect frees what no root of a tenant refers to.
func (b *Bay) collect(ctx context.Context, tenant string) error {
	done, err := b.Data.repo(tenant).Collect(ctx, func(yield func(contexts.Root, error) bool) {
		for text, err := range b.Store.AllRoots(ctx, tenant) {
			root, parseErr := contexts.ParseRoot(text)
			if !yield(root, errors.Join(err, parseErr)) {
				return
			}
		}
	})
	if err == nil && done.Freed > 0 {
		b.Log.InfoContext(ctx, "context data freed", "key", tenant, "bytes", done.Freed)
		b.retry()
	}
	return err
}
