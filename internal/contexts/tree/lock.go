package tree

import (
	"context"
	"crypto/rand"
	"strings"
)

// A waiting is a view that is being checked out, and how many want that.
type waiting struct {
	turn  chan struct{} // has a token while nobody is at it
	wants int           // guarded by the cache's mu
}

// lock returns when nobody else checks a view out: what they made may be all
// that is needed.
func (c *Cache) lock(ctx context.Context, lineage string) (unlock func(), err error) {
	c.mu.Lock()
	w := c.making[lineage]
	if w == nil {
		w = &waiting{turn: make(chan struct{}, 1)}
		w.turn <- struct{}{}
		c.making[lineage] = w
	}
	w.wants++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if w.wants--; w.wants == 0 {
			delete(c.making, lineage)
		}
	}
	select {
	case <-w.turn:
		return func() { w.turn <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

// newID returns a name that nothing else has.
func newID() string { return strings.ToLower(rand.Text()) }
