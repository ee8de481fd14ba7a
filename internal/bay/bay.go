// Package bay is the rules, and the only package that decides: who may have a
// session, when it ends, what a call needs. It asks the store what should be,
// the runtimes what is, and makes them agree. How a machine is isolated, how a
// call crosses into it and how bytes look on a wire is left to others.
//
// # One session
//
// A session is recorded before anything of it exists on the host, and its record
// is held until nothing of it does; so a crash leaves records to sweep and never
// a machine nobody knows of. In memory, a live session has a watcher, which
// learns from the runtime when its machine ends, and an idle timer.
//
// Bay.mu guards all sessions. No lock is held across a call that leaves this
// package.
package bay

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	goruntime "runtime"
	"slices"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/captures"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// Images is what a bay needs of an image store.
type Images interface {
	// Get finds an image by name or digest.
	//
	// Invalid: there is none; the message says what there is.
	Get(name string) (image.Image, error)

	// List describes every image that is offered.
	List() ([]image.Listing, error)

	// Acquire keeps the image of a digest until its owner releases it.
	Acquire(digest, owner string) error

	// Release ends an owner's claim. Releasing what is not claimed is not an error.
	Release(owner string) error
}

// A Bay is the core of one server. Its fields are set before Start and not
// changed after it; only Store, Images and Runtimes must be.
type Bay struct {
	Store    *store.Store
	Images   Images
	Runtimes map[string]runtime.Runtime // by name

	Runtime       string            // what boots a session; may be empty if there is one runtime
	ImageRuntimes map[string]string // what boots sessions of an image instead, by the image's name
	Guest         []string          // the guest's command line; [0] is a path on the host
	Machine       runtime.Limits    // of each session; zero means the runtime's defaults
	Network       runtime.Network   // what each session may reach

	MaxSessions       int           // at once; 0 means no limit
	MaxSessionsPerKey int           // at once, for keys that do not say; 0 means no limit
	HighWater         HighWater     // how full the host may get
	Boots             int           // at once; 0 means two a processor, and at least four
	BootTimeout       time.Duration // 0 means 50 s, which is what clients wait for
	Retention         time.Duration // how long ended sessions are remembered, at least 10 min; 0 means 24 h

	Data   *Data  // what contexts are kept in; nil means that there are none
	Secret []byte // signs the URLs of files; at least 16 bytes if there is Data

	Captures *captures.Store   // of screens; nil means that none are kept
	Replays  bool              // browsers are recorded unless a client says that they are not to be
	Screens  map[string]string // sizes of screens, such as "1280x800", of images by name; else the image's
	Links    map[string]bool   // whether sessions of an image have a link, by the image's name; else the image's

	MaxTokensPerKey int64 // of the model in a day, both ways, for keys that do not say; 0 means no limit

	Operator   *operator.Operator                      // works on pages of browsers; nil means that there is no model to do that
	OperatorOf func(store.KeyModel) *operator.Operator // does for a key with a model of its own

	Warm map[string]int // how many sessions of an image to keep booted for who comes next

	Log *slog.Logger // nil means slog.Default

	ctx        context.Context // ends with the bay; nothing of a caller's
	cancel     context.CancelFunc
	background sync.WaitGroup // loops, watchers and releases
	inFlight   sync.WaitGroup // calls and boots; added to under mu, and not once closing
	boots      chan struct{}  // a token for each boot under way
	refill     chan struct{}  // asks for the warm pool to be filled
	garbage    chan struct{}  // asks for the data of contexts to be collected

	mu      sync.Mutex
	live    map[agentbay.SessionID]*session // guarded by mu: all that may hold something on the host
	own     map[string]ownModel             // by key; guarded by mu
	closing bool                            // guarded by mu
}

// How often the bay looks after what nobody asks for.
const (
	saveEvery  = 5 * time.Second // activity is recorded
	sweepEvery = time.Minute     // leftovers are swept
	lookEvery  = time.Second     // the host is looked at, if something must stay free
)

// Start takes over what an earlier server left and begins to serve. A bay is
// started once.
//
// Invalid: the configuration names a runtime there is none of.
func (b *Bay) Start(ctx context.Context) error {
	if err := b.checkRuntimes(); err != nil {
		return err
	}
	b.Log = cmp.Or(b.Log, slog.Default())
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.boots = make(chan struct{}, cmp.Or(b.Boots, max(4, 2*goruntime.NumCPU())))
	b.refill, b.garbage = make(chan struct{}, 1), make(chan struct{}, 1)
	b.live, b.own = map[agentbay.SessionID]*session{}, map[string]ownModel{}
	if b.Data != nil {
		if err := os.MkdirAll(b.Data.Dir, 0o700); err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "%s cannot be made", b.Data.Dir)
		}
		b.Data.Trees.Room = func() error { return b.HighWater.room(1, "nothing more is mounted") }
	}
	if err := b.Sweep(ctx); err != nil {
		b.cancel()
		return err
	}
	if b.Data != nil {
		if err := b.startData(ctx); err != nil {
			b.cancel()
			return err
		}
	}
	b.background.Go(func() { b.every(saveEvery, b.saveActivity) })
	b.background.Go(func() { b.every(sweepEvery, b.tidy) })
	if b.HighWater.FreeDisk > 0 || b.HighWater.FreeMemory > 0 {
		b.background.Go(func() { b.every(lookEvery, b.relieve) })
	}
	if len(b.Warm) > 0 {
		b.background.Go(b.keepWarm)
	}
	return nil
}

// every calls f until the bay ends.
func (b *Bay) every(period time.Duration, f func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
			f(b.ctx)
		}
	}
}

// minRetention is how long an ended session is remembered at least: its callers
// ask whether it has ended until it has.
const minRetention = 10 * time.Minute

// tidy is Sweep and the end of retention, for the background.
func (b *Bay) tidy(ctx context.Context) {
	if err := b.Sweep(ctx); err != nil && ctx.Err() == nil {
		b.Log.ErrorContext(ctx, "sweep failed; it is tried again", "err", err)
	}
	before := time.Now().Add(-max(cmp.Or(b.Retention, 24*time.Hour), minRetention))
	if _, err := b.Store.ForgetEnded(ctx, before); err != nil && ctx.Err() == nil {
		b.Log.ErrorContext(ctx, "ended sessions could not be forgotten", "err", err)
	}
	if b.Captures == nil {
		return
	}
	if err := b.Captures.Sweep(time.Now()); err != nil {
		b.Log.ErrorContext(ctx, "old captures could not be removed", "err", err)
	}
}

// cutTimeout is how long a call that was cut off may take to notice.
const cutTimeout = 10 * time.Second

// Shutdown stops accepting calls, lets those in flight end until ctx is done,
// and then cuts them off. Sessions go on running; the next Start adopts them.
func (b *Bay) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	b.closing = true
	b.mu.Unlock()
	err := wait(ctx, &b.inFlight)
	b.cutCalls()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer cancel()
	err = errors.Join(err, wait(ctx, &b.inFlight))
	b.discardWarm()
	b.saveActivity(ctx)
	b.cancel()
	b.background.Wait()
	return err
}

// join counts one more that Shutdown waits for. Who joined calls inFlight.Done.
func (b *Bay) join() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return errClosing
	}
	b.inFlight.Add(1)
	return nil
}

// wait waits for g until ctx is done.
func wait(ctx context.Context, g *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cutCalls ends all calls in flight.
func (b *Bay) cutCalls() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.live {
		s.idle.Stop()
		s.over(errClosing)
	}
}

var errClosing = agentbay.Errorf(agentbay.Unavailable, "the server is shutting down; try again in a moment")

// checkRuntimes finds configuration that would only fail when a session is made.
func (b *Bay) checkRuntimes() error {
	names := slices.Collect(maps.Values(b.ImageRuntimes))
	if b.Runtime != "" || len(b.Runtimes) != 1 {
		names = append(names, b.Runtime)
	}
	for _, name := range names {
		if b.Runtimes[name] == nil {
			return agentbay.Errorf(agentbay.Invalid, "no runtime %q; there is %q", name, slices.Sorted(maps.Keys(b.Runtimes)))
		}
	}
	return nil
}

// runtimeOf chooses what boots sessions of an image.
func (b *Bay) runtimeOf(img image.Image) runtime.Runtime {
	name := cmp.Or(b.ImageRuntimes[img.Name], b.Runtime)
	if rt, ok := b.Runtimes[name]; ok {
		return rt
	}
	for _, only := range b.Runtimes {
		return only
	}
	panic("bay: no runtime") // checkRuntimes was there
}

// An undo is several steps' way back, taken unless it is kept from it.
type undo []func() error

func (u *undo) push(f func() error) { *u = append(*u, f) }
func (u *undo) forget()             { *u = nil }

// run takes the steps back, last first, and goes on past failures.
func (u *undo) run() (err error) {
	for _, f := range slices.Backward(*u) {
		err = errors.Join(err, f())
	}
	return err
}
