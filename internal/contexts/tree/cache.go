package tree

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

// The shape of a cache.
const (
	maxLayers = 12 // more of them are put together, behind the scenes
	mostStack = 32 // more of them are put together before anyone gets them
	keepIdle  = 4  // stacks of one view that are kept though nobody holds them
)

// A Cache keeps checked-out contexts in a directory of the host. What it hands
// out is shared and never written to. It is for one process at a time, and for
// root. Methods may be called concurrently.
//
//	layers/<id>        the files of a layer, as overlayfs takes them
//	stacks/<id>.json   which layers, topmost first, are what state of what
//	tmp/               what is being made or removed
//
// What is in layers and stacks appears and disappears by single renames.
// Nothing in it is precious, and nothing in it is forced to the disk: what was
// made before the host's last boot is dropped by [OpenCache].
type Cache struct {
	// Room is asked now and then, while something is checked out, whether the host
	// has room for more of it. It is set before use; nil means there always is.
	Room func() error

	dir   string
	limit int64
	boot  string

	mu     sync.Mutex
	stacks map[string]*stack   // by ID; guarded by mu
	users  map[string]int      // stacks that have a layer; guarded by mu
	sizes  map[string]int64    // bytes of layers; guarded by mu
	making map[string]*waiting // views that are being checked out; guarded by mu
	wrote  atomic.Int64        // bytes, since Room was asked
	behind sync.WaitGroup
	stop   context.CancelFunc
	ctx    context.Context // of what goes on behind the scenes
}

// A stack is a state of a context for a view, as layers.
type stack struct {
	ID string `json:"-"`
	record
	held int       // guarded by the cache's mu
	used time.Time // guarded by the cache's mu
}

// A record is what is kept of a stack in a file.
type record struct {
	Boot     string  // of the host, when it was made
	Lineage  string  // see View.lineage
	Root     string  // hex
	Layers   []sized // topmost first
	Archives bool    // some were unpacked
	Made     time.Time
}

// A sized is a layer and how many bytes of the disk it takes.
type sized struct {
	ID    string
	Bytes int64
}

// OpenCache opens the cache in a directory, which it makes if need be. What is
// not in use goes when there is more than limit bytes; 0 means there is none.
// What a killed process left half-made is removed.
func OpenCache(dir string, limit int64) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"layers", "stacks", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, agentbay.Wrap(err, agentbay.Unavailable, "the cache of contexts %s cannot be used; choose another directory", dir)
		}
	}
	c := &Cache{
		dir: dir, limit: limit, boot: bootID(),
		stacks: map[string]*stack{}, users: map[string]int{}, sizes: map[string]int64{}, making: map[string]*waiting{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if err := c.recover(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the cache of contexts %s cannot be read; remove it and start again", dir)
	}
	return c, nil
}

// bootID tells one boot of the host from another. Without one, nothing of an
// earlier process is trusted.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return newID()
	}
	return strings.TrimSpace(string(b))
}

// recover finds what an earlier process made, and removes the rest.
func (c *Cache) recover() error {
	files, err := os.ReadDir(c.path("stacks"))
	if err != nil {
		return err
	}
	for _, f := range files {
		s, ok := c.readStack(f.Name())
		if !ok {
			if err := os.Remove(c.path("stacks", f.Name())); err != nil {
				return err
			}
			continue
		}
		c.keepLocked(s)
	}
	layers, err := os.ReadDir(c.path("layers"))
	if err != nil {
		return err
	}
	for _, l := range layers {
		if c.users[l.Name()] == 0 {
			if err := os.Rename(c.path("layers", l.Name()), c.path("tmp", newID())); err != nil {
				return err
			}
		}
	}
	return c.sweep()
}

// sweep removes what is in tmp, behind the scenes: it may be a lot.
func (c *Cache) sweep() error {
	left, err := os.ReadDir(c.path("tmp"))
	if err != nil {
		return err
	}
	c.behind.Go(func() {
		for _, f := range left {
			os.RemoveAll(c.path("tmp", f.Name()))
		}
	})
	return nil
}

// readStack reads a record. It is no good if it is of another boot, or if a
// layer is missing.
func (c *Cache) readStack(name string) (*stack, bool) {
	file := c.path("stacks", name)
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	s := &stack{ID: strings.TrimSuffix(name, ".json")}
	if err := json.Unmarshal(b, &s.record); err != nil || s.Boot != c.boot {
		return nil, false
	}
	for _, l := range s.Layers {
		if _, err := os.Stat(c.path("layers", l.ID)); err != nil || !filepath.IsLocal(l.ID) {
			return nil, false
		}
	}
	if info, err := os.Stat(file); err == nil {
		s.used = info.ModTime()
	}
	return s, true
}

func (c *Cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// keepLocked adds a stack.
func (c *Cache) keepLocked(s *stack) {
	c.stacks[s.ID] = s
	for _, l := range s.Layers {
		c.users[l.ID]++
		c.sizes[l.ID] = l.Bytes
	}
}

// Checkout makes what v shows of root a stack of directories. It costs what
// differs from what the cache has, and nothing if it has all. It must be
// released.
//
// Internal: content is damaged; the message names the path.
// Exhausted: there is no room on the host's disk, or Room says so.
func (c *Cache) Checkout(ctx context.Context, repo *contexts.Repo, root contexts.Root, v View, p *Progress) (*Checkout, error) {
	p = cmp.Or(p, new(Progress))
	lineage := v.lineage()
	if out := c.have(lineage, root); out != nil {
		return out, nil
	}
	unlock, err := c.lock(ctx, lineage)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if out := c.have(lineage, root); out != nil {
		return out, nil
	}
	v.took = c.took
	l := layer{repo, root, v, p}
	out, err := c.checkout(ctx, lineage, l)
	if errors.Is(err, agentbay.Exhausted) {
		if freed, _ := c.Trim(0); freed > 0 {
			out, err = c.checkout(ctx, lineage, l)
		}
	}
	if err == nil {
		c.tidy(lineage, out)
	}
	return out, err
}

// roomEvery is how many bytes may be written between two looks at the host.
const roomEvery = 64 << 20

// took asks whether there is room for more, once so much was written.
func (c *Cache) took(n int64) error {
	if c.wrote.Add(n) < roomEvery || c.Room == nil {
		return nil
	}
	c.wrote.Store(0)
	return c.Room()
}

// have holds a state that is there already, the lowest stack of it.
func (c *Cache) have(lineage string, root contexts.Root) *Checkout {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *stack
	for _, s := range c.stacks {
		if s.Lineage == lineage && s.Root == root.String() && (best == nil || len(s.Layers) < len(best.Layers)) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	return c.holdLocked(best)
}

// newest holds the state of a view that was checked out last.
func (c *Cache) newest(lineage string) (*stack, *Checkout) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *stack
	for _, s := range c.stacks {
		if s.Lineage == lineage && (best == nil || s.Made.After(best.Made)) {
			best = s
		}
	}
	if best == nil {
		return nil, nil
	}
	return best, c.holdLocked(best)
}

func (c *Cache) holdLocked(s *stack) *Checkout {
	s.held++
	s.used = time.Now()
	out := &Checkout{ID: s.ID, cache: c, stack: s}
	for _, l := range s.Layers {
		out.Layers = append(out.Layers, c.path("layers", l.ID))
	}
	return out
}

// checkout makes a stack that is not there: of another with one more layer, or
// of one layer.
func (c *Cache) checkout(ctx context.Context, lineage string, l layer) (*Checkout, error) {
	if base, held := c.newest(lineage); base != nil {
		defer held.Release()
		if len(base.Layers) > 0 && !base.Archives {
			out, err := c.onTop(ctx, base, l)
			if !errors.Is(err, errWhole) {
				return out, err
			}
		}
	}
	var m made
	id, err := c.make(func(dir string) (err error) {
		m, err = l.full(ctx, dir)
		return err
	}, func() bool { return m.entries > 0 })
	if err != nil {
		return nil, err
	}
	r := record{Boot: c.boot, Lineage: lineage, Root: l.root.String(), Archives: m.archives, Made: time.Now()}
	if id != "" {
		r.Layers = []sized{{id, m.bytes}}
	}
	return c.record(r)
}

// onTop makes a stack of another one, and what differs from it.
func (c *Cache) onTop(ctx context.Context, base *stack, l layer) (*Checkout, error) {
	from, err := contexts.ParseRoot(base.Root)
	if err != nil {
		return nil, errWhole
	}
	var m made
	id, err := c.make(func(dir string) (err error) {
		m, err = l.delta(ctx, from, dir)
		return err
	}, func() bool { return m.entries > 0 })
	if err != nil {
		return nil, err
	}
	r := record{Boot: c.boot, Lineage: base.Lineage, Root: l.root.String(), Layers: base.Layers, Made: time.Now()}
	if id != "" {
		r.Layers = append([]sized{{id, m.bytes}}, base.Layers...)
	}
	out, err := c.record(r)
	if err == nil && len(r.Layers) > mostStack {
		defer out.Release()
		if out, err = c.squash(ctx, out.stack); err != nil {
			return nil, errWhole
		}
	}
	return out, err
}

// make makes a layer, and keeps it if it is wanted. It returns its name, or ""
// if it was not wanted.
func (c *Cache) make(fill func(dir string) error, wanted func() bool) (string, error) {
	id := newID()
	tmp := c.path("tmp", id)
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", failed(err, "checkout", tmp)
	}
	err := fill(tmp)
	if err == nil && wanted() {
		return id, failed(os.Rename(tmp, c.path("layers", id)), "checkout", tmp)
	}
	os.RemoveAll(tmp)
	return "", err
}

// record keeps a stack of layers that are there, and holds it.
func (c *Cache) record(r record) (*Checkout, error) {
	s := &stack{ID: newID(), record: r}
	if err := c.write(s); err != nil {
		return nil, failed(err, "checkout", c.dir)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(s)
	return c.holdLocked(s), nil
}

func (c *Cache) write(s *stack) error {
	b, err := json.Marshal(s.record)
	if err != nil {
		return err
	}
	tmp := c.path("tmp", s.ID+".json")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, c.path("stacks", s.ID+".json"))
}

// Hold holds a checkout of an earlier process, of which only the ID is known.
//
// NotFound: it is gone; check the root out again.
func (c *Cache) Hold(id string) (*Checkout, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stacks[id]
	if s == nil {
		return nil, agentbay.Errorf(agentbay.NotFound, "checkout %.100q is not on this host any more", id)
	}
	return c.holdLocked(s), nil
}

// tidy does what can wait, after a checkout of a view.
func (c *Cache) tidy(lineage string, out *Checkout) {
	c.mu.Lock()
	high := len(out.stack.Layers) > maxLayers
	idle := c.idleLocked(func(s *stack) bool { return s.Lineage == lineage })
	over := c.limit > 0 && c.sizeLocked() > c.limit
	if high {
		out = c.holdLocked(out.stack)
	}
	c.mu.Unlock()
	c.behind.Go(func() {
		for _, s := range idle[:max(len(idle)-keepIdle, 0)] {
			c.drop(s)
		}
		if high {
			defer out.Release()
			if flat, err := c.squash(c.ctx, out.stack); err == nil {
				flat.Release()
			}
		}
		if over {
			c.Trim(c.limit)
		}
	})
}

// idleLocked returns stacks that nobody holds, the least recently used first.
func (c *Cache) idleLocked(want func(*stack) bool) (all []*stack) {
	for _, s := range c.stacks {
		if s.held == 0 && want(s) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *stack) int { return a.used.Compare(b.used) })
	return all
}

func (c *Cache) sizeLocked() (n int64) {
	for _, size := range c.sizes {
		n += size
	}
	return n
}

// Size returns how many bytes the cache takes, more or less.
func (c *Cache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sizeLocked()
}

// Trim removes what nobody holds, the least recently used first, until at most
// size bytes are left. It returns how many it freed.
func (c *Cache) Trim(size int64) (freed int64, err error) {
	for {
		c.mu.Lock()
		idle := c.idleLocked(func(*stack) bool { return true })
		over := c.sizeLocked() > size
		c.mu.Unlock()
		if !over || len(idle) == 0 {
			return freed, err
		}
		n, dropErr := c.drop(idle[0])
		freed += n
		if err = dropErr; err != nil {
			return freed, err
		}
	}
}

// Forget removes what is checked out of the roots that are gone, unless somebody
// holds it. It returns how many bytes it freed.
func (c *Cache) Forget(gone func(contexts.Root) bool) (freed int64, err error) {
	c.mu.Lock()
	idle := c.idleLocked(func(s *stack) bool {
		root, err := contexts.ParseRoot(s.Root)
		return err != nil || gone(root)
	})
	c.mu.Unlock()
	for _, s := range idle {
		n, dropErr := c.drop(s)
		freed += n
		err = errors.Join(err, dropErr)
	}
	return freed, err
}

// drop removes a stack that nobody holds, and the layers that only it has.
func (c *Cache) drop(s *stack) (freed int64, err error) {
	c.mu.Lock()
	if c.stacks[s.ID] != s || s.held > 0 {
		c.mu.Unlock()
		return 0, nil
	}
	if err := os.Remove(c.path("stacks", s.ID+".json")); err != nil {
		c.mu.Unlock()
		return 0, failed(err, "cache", c.dir)
	}
	delete(c.stacks, s.ID)
	var gone []string
	for _, l := range s.Layers {
		if c.users[l.ID]--; c.users[l.ID] > 0 {
			continue
		}
		delete(c.users, l.ID)
		delete(c.sizes, l.ID)
		freed += l.Bytes
		gone = append(gone, l.ID)
	}
	c.mu.Unlock()
	for _, id := range gone {
		tmp := c.path("tmp", id)
		err = errors.Join(err, os.Rename(c.path("layers", id), tmp), os.RemoveAll(tmp))
	}
	return freed, failed(err, "cache", c.dir)
}

// Close waits for what goes on behind the scenes. Checkouts that are held stay
// where they are, for [Cache.Hold] in the next process.
func (c *Cache) Close() error {
	c.stop()
	c.behind.Wait()
	return nil
}

// A Checkout is a state of a context on this host, held until Release.
type Checkout struct {
	ID     string
	Layers []string // directories, topmost first, as an overlay takes them; none if nothing is selected

	cache *Cache
	stack *stack
	once  sync.Once
}

// Release lets go. It may be called more than once.
func (o *Checkout) Release() {
	o.once.Do(func() {
		c := o.cache
		c.mu.Lock()
		defer c.mu.Unlock()
		o.stack.held--
		o.stack.used = time.Now()
		os.Chtimes(c.path("stacks", o.ID+".json"), o.stack.used, o.stack.used)
	})
}
