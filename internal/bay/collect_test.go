package bay_test

import (
	"context"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/blob"
)

// listed counts how often packs were listed, by prefix: once for each collection
// that comes to its end.
type listed struct {
	blob.Store
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func (l *listed) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasSuffix(prefix, "/packs/") {
		l.n[prefix]++
	}
	return l.Store.List(ctx, prefix)
}

// counts returns how often each prefix was listed since the last time.
func (l *listed) counts() (all []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range maps.Values(l.n) {
		all = append(all, n)
	}
	clear(l.n)
	return all
}

func TestOnlyDataThatWasInUseIsCollectedSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs := &listed{n: map[string]int{}}
		b := baytest.New(t, func(b *baytest.Bay) {
			blobs.Store = b.Data.Blobs
			b.Data.Blobs = blobs
		})
		mine, theirs := b.Service(t, "mine"), b.Service(t, "theirs")
		x, gone := newContext(t, mine), newContext(t, theirs)
		put(t, b.Bay, x, "/a", "text")
		r, _, err := b.OpenContextFile(t.Context(), x, "/a")
		must(t, err)
		synctest.Wait()
		blobs.counts()
		must(t, theirs.DeleteContext(t.Context(), gone))
		time.Sleep(10 * time.Minute)
		if got := blobs.counts(); len(got) != 1 || got[0] != 1 {
			t.Errorf("while one key's data is in use, collections of the others: %v, want one", got)
		}
		must(t, r.Close())
		time.Sleep(10 * time.Minute)
		if got := blobs.counts(); len(got) != 1 || got[0] != 1 {
			t.Errorf("once it is not, collections: %v, want one more", got)
		}
	})
}
