// Package contextstest is what it means to be an index of chunks, and an index
// in memory for tests.
package contextstest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
)

// An Index keeps one tenant's chunks in memory.
type Index struct {
	mu     sync.Mutex
	chunks map[contexts.ID]contexts.Location // guarded by mu
	packs  map[string]int64                  // their sizes; guarded by mu
	marked map[contexts.ID]bool              // guarded by mu
	calls  map[string]int                    // guarded by mu
}

var _ contexts.Index = (*Index)(nil)

// NewIndex returns an empty index.
func NewIndex() *Index {
	return &Index{
		chunks: map[contexts.ID]contexts.Location{},
		packs:  map[string]int64{},
		marked: map[contexts.ID]bool{},
		calls:  map[string]int{},
	}
}

// Calls returns how often a method was called.
func (x *Index) Calls(method string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.calls[method]
}

// enter locks x for a call, unless ctx is done.
func (x *Index) enter(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	x.calls[method]++
	return nil
}

// Find implements contexts.Index.
func (x *Index) Find(ctx context.Context, ids []contexts.ID) ([]contexts.Location, error) {
	if err := x.enter(ctx, "Find"); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	found := make([]contexts.Location, len(ids))
	for i, id := range ids {
		found[i] = x.chunks[id]
	}
	return found, nil
}

// Add implements contexts.Index.
func (x *Index) Add(ctx context.Context, pack contexts.Pack, chunks []contexts.Chunk) error {
	if err := x.enter(ctx, "Add"); err != nil {
		return err
	}
	defer x.mu.Unlock()
	x.packs[pack.Name] = pack.Size
	for _, c := range chunks {
		if _, ok := x.chunks[c.ID]; !ok {
			x.chunks[c.ID] = c.Location
		}
	}
	return nil
}

// Packs implements contexts.Index.
func (x *Index) Packs(ctx context.Context) ([]contexts.Pack, error) {
	if err := x.enter(ctx, "Packs"); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	return x.packsLocked(), nil
}

func (x *Index) packsLocked() []contexts.Pack {
	used := map[string]int64{}
	for _, at := range x.chunks {
		used[at.Pack] += at.Stored
	}
	var packs []contexts.Pack
	for _, name := range slices.Sorted(maps.Keys(x.packs)) {
		packs = append(packs, contexts.Pack{Name: name, Size: x.packs[name], Used: used[name]})
	}
	return packs
}

// Live implements contexts.Index.
func (x *Index) Live(ctx context.Context) error {
	if err := x.enter(ctx, "Live"); err != nil {
		return err
	}
	defer x.mu.Unlock()
	clear(x.marked)
	return nil
}

// Mark implements contexts.Index.
func (x *Index) Mark(ctx context.Context, ids []contexts.ID) error {
	if err := x.enter(ctx, "Mark"); err != nil {
		return err
	}
	defer x.mu.Unlock()
	for _, id := range ids {
		x.marked[id] = true
	}
	return nil
}

// Sweep implements contexts.Index.
func (x *Index) Sweep(ctx context.Context) ([]contexts.Pack, error) {
	if err := x.enter(ctx, "Sweep"); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	maps.DeleteFunc(x.chunks, func(id contexts.ID, _ contexts.Location) bool { return !x.marked[id] })
	packs := slices.DeleteFunc(x.packsLocked(), func(k contexts.Pack) bool { return k.Used == 0 })
	left := map[string]int64{}
	for _, k := range packs {
		left[k.Name] = k.Size
	}
	x.packs = left
	return packs, nil
}

// Chunks implements contexts.Index.
func (x *Index) Chunks(ctx context.Context, pack string) ([]contexts.Chunk, error) {
	if err := x.enter(ctx, "Chunks"); err != nil {
		return nil, err
	}
	defer x.mu.Unlock()
	return x.chunksLocked(pack), nil
}

func (x *Index) chunksLocked(pack string) []contexts.Chunk {
	var chunks []contexts.Chunk
	for id, at := range x.chunks {
		if at.Pack == pack {
			chunks = append(chunks, contexts.Chunk{ID: id, Location: at})
		}
	}
	slices.SortFunc(chunks, func(a, b contexts.Chunk) int { return cmp.Compare(a.Offset, b.Offset) })
	return chunks
}

// Move implements contexts.Index.
func (x *Index) Move(ctx context.Context, old string, pack contexts.Pack, chunks []contexts.Chunk) error {
	if err := x.enter(ctx, "Move"); err != nil {
		return err
	}
	defer x.mu.Unlock()
	moved := map[contexts.ID]contexts.Location{}
	for _, c := range chunks {
		moved[c.ID] = c.Location
	}
	for _, c := range x.chunksLocked(old) {
		if _, ok := moved[c.ID]; !ok {
			return agentbay.Errorf(agentbay.Internal, "chunk %s of pack %s was not moved", c.ID, old)
		}
	}
	maps.Copy(x.chunks, moved)
	x.packs[pack.Name] = pack.Size
	delete(x.packs, old)
	return nil
}
