package tree_test

import (
	"testing"

	"github.com/agentbay/agentbay/internal/contexts"
)

// Another context that was mounted at the same path left a stack, whose state
// nothing needs any more.
func TestACollectedStateIsNoBase(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"old": "0"})
	w.checkout(w.cache).Release()
	w.head = contexts.Root{}
	w.session().write2(t, map[string]string{"new": "1"})
	_, err := w.repo.Collect(t.Context(), func(yield func(contexts.Root, error) bool) { yield(w.head, nil) })
	if err != nil {
		t.Fatalf("Collect: %v", err)
	}
	if out := w.checkout(w.cache); len(out.Layers) != 1 {
		t.Errorf("the other state has the layers %q, want one of its own", out.Layers)
	}
}
