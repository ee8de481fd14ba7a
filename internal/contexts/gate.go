package contexts

import (
	"context"
	"sync"
)

// A gate lets in any number of users, or one collection. A user who comes while
// something is collected makes that stop, and waits until it has.
type gate struct {
	mu    sync.Mutex
	users int                // guarded by mu
	stop  context.CancelFunc // of the collection that runs, or nil; guarded by mu
	gone  chan struct{}      // closed when it has ended; guarded by mu
}

// enter waits for a collection to give way. The caller leaves when it is done.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	for g.stop != nil {
		g.stop()
		gone := g.gone
		g.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
			return ctx.Err()
		}
		g.mu.Lock()
	}
	g.users++
	g.mu.Unlock()
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users--
}

// collect begins a collection, unless there are users or another collection.
// It must stop soon after the context that it is given has ended, and then call
// done.
func (g *gate) collect(ctx context.Context) (_ context.Context, done func(), ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users > 0 || g.stop != nil {
		return nil, nil, false
	}
	ctx, stop := context.WithCancel(ctx)
	gone := make(chan struct{})
	g.stop, g.gone = stop, gone
	return ctx, func() {
		stop()
		g.mu.Lock()
		g.stop, g.gone = nil, nil
		g.mu.Unlock()
		close(gone)
	}, true
}
