// Package crash holds the test that kills a server under load.
package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// rounds is how often the server is killed.
const rounds = 10

// A fact is what a client was told of a session before the server died.
type fact struct {
	marked  bool // a file with the session's own ID was written in it
	deleted bool // its deletion was asked for; the answer may not have come
}

// facts is everything clients were told.
type facts struct {
	mu  sync.Mutex
	all map[agentbay.SessionID]*fact // guarded by mu
}

func (f *facts) note(id agentbay.SessionID, what func(*fact)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[id] == nil {
		f.all[id] = new(fact)
	}
	what(f.all[id])
}

// Whatever a client was told holds after kill -9: sessions live on with what
// was written in them, deleted ones end, and nothing is left on the host.
func TestKillAnywhere(t *testing.T) {
	b := live.New(t, "--max-sessions", "50", "--warm", "code_latest=0")
	known := &facts{all: map[agentbay.SessionID]*fact{}}
	for round := range rounds {
		killUnderLoad(t, b, known, 3+rand.IntN(25))
		b.Start()
		verify(t, b, known)
		t.Logf("round %d: %d sessions live", round, len(b.Sessions(t.Context())))
	}
	deleteAll(t, b)
	b.Kill()
	b.Start() // what the last kill left half-deleted is swept
	waitUntilEmpty(t, b)
	b.Stop()
	if left := leftovers(t, b.Data); len(left) > 0 {
		t.Errorf("left on the host:\n%s", strings.Join(left, "\n"))
	}
}

// killUnderLoad lets four clients work and kills the server when together they
// have done the given number of operations.
func killUnderLoad(t *testing.T, b *live.Bay, known *facts, operations int) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan struct{}, 1000)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { work(ctx, b.Client, known, done) })
	}
	for range operations {
		select {
		case <-done:
		case <-ctx.Done():
			t.Fatal("the load made no progress for a minute")
		}
	}
	b.Kill()
	stop()
	clients.Wait()
}

// work makes, uses and deletes sessions until the server is gone.
func work(ctx context.Context, client *agentbay.Client, known *facts, done chan<- struct{}) {
	for ctx.Err() == nil {
		session, err := client.Create(ctx, agentbay.SessionSpec{Image: "code_latest"})
		if err != nil {
			return
		}
		done <- struct{}{}
		known.note(session.ID, func(*fact) {})
		line := fmt.Sprintf("echo %s > /tmp/marker", session.ID)
		if err := session.Command(line).Run(ctx); err != nil {
			return
		}
		known.note(session.ID, func(f *fact) { f.marked = true })
		done <- struct{}{}
		if rand.IntN(3) > 0 {
			known.note(session.ID, func(f *fact) { f.deleted = true })
			if err := client.DeleteSession(ctx, session.ID); err != nil {
				return
			}
			done <- struct{}{}
		}
	}
}

// verify checks every fact against the bay.
func verify(t *testing.T, b *live.Bay, known *facts) {
	t.Helper()
	listed := map[agentbay.SessionID]bool{}
	for _, s := range b.Sessions(t.Context()) {
		listed[s.ID] = true
	}
	for id, f := range known.all {
		switch {
		case f.deleted:
			delete(known.all, id) // waitUntilEmpty sees to the rest
		case !listed[id]:
			t.Errorf("session %s is gone, though nobody deleted it", id)
		case f.marked:
			checkMarker(t, b, id)
		}
	}
}

func checkMarker(t *testing.T, b *live.Bay, id agentbay.SessionID) {
	t.Helper()
	session, err := b.Client.Open(t.Context(), id)
	if err != nil {
		t.Errorf("session %s after the crash: %v", id, err)
		return
	}
	out, err := session.Command("cat /tmp/marker").Output(t.Context())
	if want := string(id) + "\n"; err != nil || string(out) != want {
		t.Errorf("marker of %s: %q, %v, want %q", id, out, err, want)
	}
}

func deleteAll(t *testing.T, b *live.Bay) {
	t.Helper()
	for _, s := range b.Sessions(t.Context()) {
		err := b.Client.DeleteSession(t.Context(), s.ID)
		if err != nil && !errors.Is(err, agentbay.NotFound) {
			t.Errorf("delete %s: %v", s.ID, err)
		}
	}
}

// waitUntilEmpty waits until the bay has no session left.
func waitUntilEmpty(t *testing.T, b *live.Bay) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(b.Sessions(t.Context())) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("still there a minute after the last deletion: %v", b.Sessions(t.Context()))
		}
		time.Sleep(100 * time.Millisecond) // the wire has no event for the end of a session
	}
}

// leftovers lists what a bay, by its data directory or the IDs in its log, has
// on this host. (Network links bear no IDs; scripts/test looks for those.)
func leftovers(t *testing.T, data string) (left []string) {
	t.Helper()
	out, err := exec.Command(filepath.Join("..", "..", "scripts", "leftovers")).Output()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(data, "log", "server.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	mine := regexp.MustCompile(`session-[a-z0-9]{20,}`).FindAllString(string(log), -1)
	slices.Sort(mine)
	mine = append(slices.Compact(mine), data)
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(mine, func(name string) bool { return strings.Contains(line, name) }) {
			left = append(left, line)
		}
	}
	return left
}
