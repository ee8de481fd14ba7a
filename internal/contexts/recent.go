package contexts

import (
	"container/list"
	"sync"
)

// recent keeps the pages and roots that were read last, decoded. Nobody changes
// them.
type recent struct {
	mu    sync.Mutex
	byID  map[ID]*list.Element // guarded by mu
	order list.List            // of recentPart, last used first; guarded by mu
	bytes int                  // guarded by mu
}

// recentBytes is about how much of a tenant's pages and roots is kept in memory.
// What is decoded takes some times the bytes that it was decoded from.
const (
	recentBytes = 32 << 20
	decodedCost = 4
)

type recentPart struct {
	id    ID
	what  any // []row or *manifest
	bytes int
}

// recall returns what was decoded from a chunk, if it was that.
func recall[T any](c *recent, id ID) (what T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return what, false
	}
	c.order.MoveToFront(e)
	what, ok = e.Value.(recentPart).what.(T)
	return what, ok
}

// put keeps what was decoded from n bytes.
func (c *recent) put(id ID, what any, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n *= decodedCost
	if _, ok := c.byID[id]; ok || n > recentBytes/4 {
		return
	}
	if c.byID == nil {
		c.byID = map[ID]*list.Element{}
	}
	c.byID[id] = c.order.PushFront(recentPart{id, what, n})
	for c.bytes += n; c.bytes > recentBytes; {
		c.dropLocked(c.order.Back())
	}
}

func (c *recent) dropLocked(e *list.Element) {
	dropped := c.order.Remove(e).(recentPart)
	delete(c.byID, dropped.id)
	c.bytes -= dropped.bytes
}

func (c *recent) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byID)
	c.order.Init()
	c.bytes = 0
}
