package tree

import (
	"context"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

var errSoon = agentbay.Errorf(agentbay.Unavailable, "not there yet")

// A Cache keeps checked-out contexts in a directory of the host. What it hands
// out is shared and never written to. It is for one process at a time, and for
// root. Methods may be called concurrently.
//
// Nothing in it is precious, and nothing in it is forced to the disk: what was
// made before the host's last boot is dropped by [OpenCache].
type Cache struct{}

// OpenCache opens the cache in a directory, which it makes if need be. What is
// not in use goes when there is more than limit bytes; 0 means there is none.
// What a killed process left half-made is removed.
func OpenCache(dir string, limit int64) (*Cache, error) { return nil, errSoon }

// Checkout makes what v shows of root a stack of directories. It costs what
// differs from what the cache has, and nothing if it has all. It must be
// released.
//
// Internal: content is damaged; the message names the path.
// Exhausted: there is no room on the host's disk.
func (c *Cache) Checkout(ctx context.Context, repo *contexts.Repo, root contexts.Root, v View, p *Progress) (*Checkout, error) {
	return nil, errSoon
}

// Hold holds a checkout of an earlier process, of which only the ID is known.
//
// NotFound: it is gone; check the root out again.
func (c *Cache) Hold(id string) (*Checkout, error) { return nil, errSoon }

// Trim removes what nobody holds, the least recently used first, until at most
// size bytes are left. It returns how many it freed.
func (c *Cache) Trim(size int64) (freed int64, err error) { return 0, errSoon }

// Close waits for what goes on behind the scenes. Checkouts that are held stay
// where they are, for [Cache.Hold] in the next process.
func (c *Cache) Close() error { return errSoon }

// A Checkout is a state of a context on this host, held until Release.
type Checkout struct {
	ID     string
	Layers []string // directories, topmost first, as an overlay takes them; none if nothing is selected
}

// Release lets go. It may be called more than once.
func (c *Checkout) Release() {}
