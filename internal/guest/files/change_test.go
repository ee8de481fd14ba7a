package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// poll asks a feed once and returns its events as "create /path", with paths
// below dir.
func poll(t testing.TB, c *guest.Client, dir string) []string {
	t.Helper()
	return eventsOf(t, []byte(works(t, c, tool.FileChange, tool.PathIn{Path: dir})), dir)
}

func eventsOf(t testing.TB, text []byte, dir string) (list []string) {
	t.Helper()
	var events []tool.FileEvent
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatalf("%.100q: %v", text, err)
	}
	for _, e := range events {
		name := e.EventType + " " + strings.TrimPrefix(e.Path, dir+"/")
		if e.PathType == directory {
			name += "/"
		}
		list = append(list, name)
	}
	return list
}

// pollUntil asks a feed until it has given n events.
func pollUntil(t testing.TB, c *guest.Client, dir string, n int) (list []string) {
	t.Helper()
	for ctx := deadline(t); len(list) < n; {
		if ctx.Err() != nil {
			t.Fatalf("%d events have not come, only %q", n, list)
		}
		list = append(list, poll(t, c, dir)...)
	}
	return list
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// writeTool writes a file with the tool.
func writeTool(t testing.TB, c *guest.Client, path, content, mode string) {
	t.Helper()
	works(t, c, tool.WriteFile, tool.WriteFileIn{Path: path, Content: content, Mode: mode})
}

func check(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEveryWriteIsCountedOnce(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "before"), "x")
	check(t, "the first call", poll(t, c, dir))
	writeTool(t, c, filepath.Join(dir, "a"), "new", "")
	writeTool(t, c, filepath.Join(dir, "a"), "overwritten", "overwrite")
	writeTool(t, c, filepath.Join(dir, "b"), "new", "")
	check(t, "new, overwritten, new", poll(t, c, dir), "create a", "modify a", "modify a", "create b", "modify b")
	writeTool(t, c, filepath.Join(dir, "a"), "1", "append")
	writeTool(t, c, filepath.Join(dir, "a"), "2", "append")
	check(t, "appended twice", poll(t, c, dir), "modify a", "modify a")
	check(t, "nothing", poll(t, c, dir))
	works(t, c, tool.MoveFile, tool.MoveFileIn{Source: filepath.Join(dir, "a"), Destination: filepath.Join(dir, "c")})
	works(t, c, tool.DeleteFile, tool.PathIn{Path: filepath.Join(dir, "b")})
	check(t, "moved and deleted", poll(t, c, dir), "delete a", "create c", "delete b")
	works(t, c, tool.ReadFile, tool.ReadFileIn{Path: filepath.Join(dir, "c")})
	if err := os.Chmod(filepath.Join(dir, "c"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "c"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	check(t, "read, chmod, opened", poll(t, c, dir))
	writeTool(t, c, filepath.Join(dir, "tmp"), "saved", "")
	if err := os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	check(t, "saved by renaming", poll(t, c, dir), "create tmp", "modify tmp", "delete tmp", "modify c")
}

func TestFeedsAreRecursive(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "old", "deep", "f"), "x")
	poll(t, c, dir)
	writeTool(t, c, filepath.Join(dir, "old", "deep", "f"), "y", "")
	check(t, "in an old directory", poll(t, c, dir), "modify old/deep/f")
	writeTool(t, c, filepath.Join(dir, "new", "deep", "f"), "y", "")
	check(t, "in a new directory", pollUntil(t, c, dir, 4), "create new/", "create new/deep/", "create new/deep/f", "modify new/deep/f")
	writeTool(t, c, filepath.Join(dir, "new", "deep", "f"), "z", "")
	check(t, "there again", poll(t, c, dir), "modify new/deep/f")
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "newer")); err != nil {
		t.Fatal(err)
	}
	check(t, "renamed directory", pollUntil(t, c, dir, 7), "delete new/deep/f", "delete new/deep/", "delete new/",
		"create newer/", "create newer/deep/", "create newer/deep/f", "modify newer/deep/f")
	writeTool(t, c, filepath.Join(dir, "newer", "deep", "f"), "w", "")
	check(t, "in the renamed directory", poll(t, c, dir), "modify newer/deep/f")
	works(t, c, tool.DeleteFile, tool.PathIn{Path: filepath.Join(dir, "newer")})
	check(t, "deleted directory", poll(t, c, dir), "delete newer/deep/f", "delete newer/deep/", "delete newer/")
}

func TestAFileThatStaysOpenIsReportedWhenItIsLeftAlone(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	poll(t, c, dir)
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("line\n")
	f.WriteString("line\n")
	check(t, "written and open", pollUntil(t, c, dir, 2), "create log", "modify log")
	f.Close()
	check(t, "closed", poll(t, c, dir))
}

func TestAFeedOutlivesItsDirectory(t *testing.T) {
	c := session(t)
	dir := filepath.Join(t.TempDir(), "w")
	put(t, filepath.Join(dir, "f"), "x")
	poll(t, c, dir)
	works(t, c, tool.DeleteFile, tool.PathIn{Path: dir})
	check(t, "deleted", poll(t, c, dir), "delete f")
	writeTool(t, c, filepath.Join(dir, "g"), "x", "")
	check(t, "made again", pollUntil(t, c, dir, 2), "create g", "modify g")
}

// listen subscribes to a directory. It returns once the subscription is there;
// each batch goes to the channel.
func listen(t *testing.T, c *guest.Client, dir string) (batches chan []string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	call, _ := tool.FileChange.Call(tool.PathIn{Path: dir})
	batches, done := make(chan []string, 1000), make(chan error, 1)
	go func() {
		done <- c.Stream(ctx, call, func(event []byte) error {
			batches <- eventsOf(t, event, dir)
			return nil
		})
	}()
	select {
	case first := <-batches:
		check(t, "the first batch", first)
	case err := <-done:
		t.Fatalf("no subscription: %v", err)
	}
	return batches, func() error { cancel(); return <-done }
}

// receive waits for n events.
func receive(t *testing.T, batches chan []string, n int) (list []string) {
	t.Helper()
	for ctx := deadline(t); len(list) < n; {
		select {
		case batch := <-batches:
			list = append(list, batch...)
		case <-ctx.Done():
			t.Fatalf("%d events have not come, only %q", n, list)
		}
	}
	return list
}

func TestEachChangeIsDeliveredOnceByPushOrCall(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	poll(t, c, dir)
	writeTool(t, c, filepath.Join(dir, "a"), "x", "")
	batches, stop := listen(t, c, dir)
	writeTool(t, c, filepath.Join(dir, "b"), "x", "")
	check(t, "the call for what was before", poll(t, c, dir), "create a", "modify a")
	check(t, "pushed", receive(t, batches, 2), "create b", "modify b")
	for i := range 100 {
		writeTool(t, c, filepath.Join(dir, fmt.Sprint(i)), "x", "")
	}
	if got := receive(t, batches, 200); len(got) != 200 {
		t.Errorf("%d events, want 200", len(got))
	}
	check(t, "a call while there is a subscription", poll(t, c, dir))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	var after []string
	for i := 0; len(after) == 0; i++ { // the guest learns a moment later that nobody listens
		writeTool(t, c, filepath.Join(dir, "c"), "x", "")
		after = poll(t, c, dir)
		if i > 10_000 {
			t.Fatal("the subscription never ended")
		}
	}
	if len(batches) > 0 {
		t.Errorf("%q came after the end", <-batches)
	}
}

func TestEventsThatWereNotSentAreKept(t *testing.T) {
	dir := t.TempDir()
	d, err := newFeed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	s := d.subscribe()
	put(t, filepath.Join(dir, "a"), "x")
	<-s.some
	gone := errors.New("gone")
	if err := d.push(s, func(any) error { return gone }); err != gone {
		t.Fatalf("push: %v", err)
	}
	d.unsubscribe(s)
	events, err := d.take()
	if err != nil || len(events) < 1 || events[0].EventType != created {
		t.Errorf("take: %v, %v", events, err)
	}
	d.putBack(events)
	if again, _ := d.take(); len(again) < len(events) || again[0] != events[0] {
		t.Errorf("take after putBack: %v, want %v", again, events)
	}
}

// What is found by looking, when the kernel does not tell, is the same.
func TestWithoutTheKernelFeedsLook(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a"), "x")
	put(t, filepath.Join(dir, "sub", "b"), "x")
	d, err := newFeed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.mu.Lock()
	d.stopNotifyLocked()
	d.mu.Unlock()
	s := d.subscribe()
	defer d.unsubscribe(s)
	put(t, filepath.Join(dir, "a"), "longer")
	put(t, filepath.Join(dir, "sub", "c", "d"), "new")
	if err := os.Remove(filepath.Join(dir, "sub", "b")); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"modify a": true, "delete sub/b": true, "create sub/c/": true, "create sub/c/d": true, "modify sub/c/d": true}
	for ctx := deadline(t); len(want) > 0; {
		select {
		case <-s.some:
		case <-ctx.Done():
			t.Fatalf("these never came: %v", want)
		}
		d.push(s, func(batch any) error {
			text, _ := json.Marshal(batch)
			for _, e := range eventsOf(t, text, dir) {
				again := strings.HasPrefix(e, "modify ") // it was looked at while it was written
				if !want[e] && !again {
					t.Errorf("%q came unexpected or twice", e)
				}
				delete(want, e)
			}
			return nil
		})
	}
}

func TestALostEventIsFoundByLooking(t *testing.T) {
	dir := t.TempDir()
	d, err := newFeed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.mu.Lock()
	put(t, filepath.Join(dir, "a"), "x")
	d.notify.each(func(happening) {}) // lost
	d.rescanLocked()
	d.settleLocked(time.Now().Add(time.Hour))
	d.mu.Unlock()
	events, err := d.take()
	if err != nil || len(events) != 2 || events[0].EventType != created || events[1].EventType != modified {
		t.Errorf("take: %v, %v", events, err)
	}
}

func TestManyChangesOfFewFilesTakeLittleRoom(t *testing.T) {
	var q queue
	q.add(event(deleted, "gone", false), event(created, "new", false))
	for range 10 * longQueue {
		q.add(event(modified, "old", false), event(created, "brief", false), event(deleted, "brief", false))
	}
	if len(q.events) > 2*longQueue {
		t.Errorf("%d events are held", len(q.events))
	}
	got := sumUp(q.takeAll())
	want := []tool.FileEvent{event(deleted, "gone", false), event(created, "new", false), event(modified, "old", false)}
	if !slices.Equal(got, want) {
		t.Errorf("summed up: %v, want %v", got, want)
	}
}

func TestBatchesFitInAMessage(t *testing.T) {
	var q queue
	for i := range 15_000 {
		q.add(event(created, fmt.Sprintf("/%d/%s", i, strings.Repeat("x", 300)), false))
	}
	total := 0
	for len(q.events) > 0 {
		batch := q.takeSome()
		total += len(batch)
		if text, _ := json.Marshal(batch); len(text) > 1<<20 {
			t.Errorf("a batch has %d bytes", len(text))
		}
	}
	if total != 15_000 {
		t.Errorf("%d events came out, want 15000", total)
	}
}

func TestTooManyFeedsAreRefused(t *testing.T) {
	c := session(t)
	dir := t.TempDir()
	for i := range maxFeeds {
		sub := filepath.Join(dir, fmt.Sprint(i))
		works(t, c, tool.CreateDirectory, tool.PathIn{Path: sub})
		poll(t, c, sub)
	}
	if r := do(t, c, tool.FileChange, tool.PathIn{Path: dir}); !r.Failed || !strings.Contains(r.Text, "watched already") {
		t.Errorf("failed %v: %s", r.Failed, r.Text)
	}
	check(t, "a feed that is there", poll(t, c, filepath.Join(dir, "7")))
}
