package bay_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
)

// move moves a file of a session through a context, and returns what became of it.
func move(t testing.TB, s agentbay.Service, id agentbay.SessionID, x agentbay.ContextID, mode agentbay.SyncMode, path string) agentbay.SyncTask {
	t.Helper()
	must(t, s.Sync(t.Context(), agentbay.SyncRequest{Session: id, Mode: mode, Context: x, Path: path}))
	return lastTask(t, s, agentbay.SyncQuery{Session: id, Context: x, Mode: mode, Path: path})
}

func TestFullHostRefusesFilesOfASession(t *testing.T) {
	free := int64(10 << 30)
	b := baytest.New(t, func(b *baytest.Bay) {
		b.HighWater = bay.HighWater{FreeDisk: 1 << 30, Read: func() (bay.Room, error) { return bay.Room{Disk: free, Memory: 1 << 40}, nil }}
	})
	s := b.Service(t, "mine")
	x, id := newContext(t, s), create(t, s, agentbay.SessionSpec{})
	write(t, s, id, "/home/result", "text")
	free = 900 << 20
	if got := move(t, s, id, x, agentbay.Upload, "/home/result"); got.State != agentbay.SyncFailed || !strings.Contains(got.Error, "disk space") {
		t.Errorf("on a full host: %s %q, want that it fails for disk space", got.State, got.Error)
	}
	free = 10 << 30
	if got := move(t, s, id, x, agentbay.Upload, "/home/result"); got.State != agentbay.SyncSuccess {
		t.Errorf("with room again: %s %q", got.State, got.Error)
	}
	if got := content(t, b.Bay, x, "/home/result"); got != "text" {
		t.Errorf("kept: %q", got)
	}
}

// Nobody can know, and nobody else takes, the name under which a file comes.
func TestFileThatComesTouchesNothingElse(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x, id := newContext(t, s), create(t, s, agentbay.SessionSpec{})
	sum := sha256.Sum256([]byte("home/result"))
	beside := "/home/result.part-" + hex.EncodeToString(sum[:4])
	write(t, s, id, beside, "mine")
	put(t, b.Bay, x, "/home/result", "text")
	if got := move(t, s, id, x, agentbay.Download, "/home/result"); got.State != agentbay.SyncSuccess {
		t.Fatalf("download: %s %q", got.State, got.Error)
	}
	if got := move(t, s, id, x, agentbay.Upload, beside); got.State != agentbay.SyncSuccess {
		t.Errorf("the file beside: %s %q", got.State, got.Error)
	}
}
