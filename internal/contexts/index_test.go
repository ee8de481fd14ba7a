package contexts_test

import (
	"testing"

	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/index"
)

// The saga once more, with what a server has.
func TestDirectoryAndSQL(t *testing.T) {
	contexts.SmallPacks(t)
	blobs, err := dir.Open(t.TempDir())
	must(t, err)
	file, err := index.Open(t.Context(), t.TempDir()+"/chunks.db")
	must(t, err)
	defer file.Close()
	s := newSaga()
	r := contexts.New("tenant", blobs, file.Tenant("tenant"))
	_, root, err := s.tell(r, 0, contexts.Root{})
	must(t, err)
	(&world{Repo: r}).holds(t, root, s.states[len(s.states)-1])
	for path, err := range r.Verify(t.Context(), root) {
		t.Errorf("%s: %v", path, err)
	}
	if _, err := r.Collect(t.Context(), one[contexts.Root]()); err != nil {
		t.Fatal(err)
	}
	for info, err := range blobs.List(t.Context(), "") {
		t.Errorf("%s is left, %v", info.Name, err)
	}
}
