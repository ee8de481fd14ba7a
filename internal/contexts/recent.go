package contexts

import (
	"bytes"
	"container/list"
	"sync"
)

// recent keeps the pages and roots that were read last.
type recent struct {
	mu    sync.Mutex
	byID  map[ID]*list.Element // guarded by mu
	order list.List            // of recentChunk, last used first; guarded by mu
	bytes int                  // guarded by mu
}

// recentBytes is how much of a tenant's pages and roots is kept in memory.
const recentBytes = 16 << 20

type recentChunk struct {
	id ID
	b  []byte
}

func (c *recent) get(id ID) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(recentChunk).b, true
}

func (c *recent) put(id ID, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok || len(b) > recentBytes/4 {
		return
	}
	if c.byID == nil {
		c.byID = map[ID]*list.Element{}
	}
	c.byID[id] = c.order.PushFront(recentChunk{id, bytes.Clone(b)}) // b may be part of something larger
	for c.bytes += len(b); c.bytes > recentBytes; {
		c.dropLocked(c.order.Back())
	}
}

func (c *recent) dropLocked(e *list.Element) {
	dropped := c.order.Remove(e).(recentChunk)
	delete(c.byID, dropped.id)
	c.bytes -= len(dropped.b)
}

func (c *recent) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byID)
	c.order.Init()
	c.bytes = 0
}
