package bay_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/tool"
)

// at is a mount with the usual policy.
func at(id agentbay.ContextID, path string) agentbay.ContextMount {
	return agentbay.ContextMount{Context: id, Path: path, Policy: agentbay.DefaultSyncPolicy}
}

func newContext(t testing.TB, s agentbay.Service) agentbay.ContextID {
	t.Helper()
	x, err := s.CreateContext(t.Context(), rand.Text())
	must(t, err)
	return x.ID
}

func write(t testing.TB, s agentbay.Service, id agentbay.SessionID, path, text string) {
	t.Helper()
	call, err := tool.WriteFile.Call(tool.WriteFileIn{Path: path, Content: text})
	must(t, err)
	reply, err := s.CallTool(t.Context(), id, call)
	must(t, err)
	if r, err := reply.Result(1 << 10); err != nil || r.Failed {
		t.Fatalf("write %s: %+v, %v", path, r, err)
	}
}

// ended waits until a session holds nothing any more.
func ended(t testing.TB, s agentbay.Service, id agentbay.SessionID) {
	t.Helper()
	for {
		if got, _ := state(t, s, id); got.Ended() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// unsaved waits until a try at saving what a session wrote has failed.
func unsaved(t testing.TB, s agentbay.Service, id agentbay.SessionID) {
	t.Helper()
	for {
		got, why := state(t, s, id)
		if got.Ended() {
			t.Fatalf("session ended (%s), though it could not be saved", why)
		}
		if strings.Contains(why, "not saved yet") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// content reads a file of a context.
func content(t testing.TB, b *bay.Bay, id agentbay.ContextID, path string) string {
	t.Helper()
	r, info, err := b.OpenContextFile(t.Context(), id, path)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || info.Size != int64(len(text)) {
		t.Errorf("%s: %d bytes of %d, %v", path, len(text), info.Size, err)
	}
	return string(text)
}

func put(t testing.TB, b *bay.Bay, id agentbay.ContextID, path, text string) {
	t.Helper()
	_, err := b.PutContextFile(t.Context(), id, path, strings.NewReader(text), int64(len(text)))
	must(t, err)
}

// withBlobs has a bay keep its contexts in a store that can be told to fail.
func withBlobs(f *blobtest.Faulty) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		f.Store = b.Data.Blobs
		b.Data.Blobs = f
	}
}

// restarted starts another server on what one has left that was shut down, and
// returns what the key "mine" sees of it.
func restarted(t *testing.T, b *baytest.Bay) (*bay.Bay, agentbay.Service) {
	t.Helper()
	next := &bay.Bay{Store: b.Store, Images: b.Images, Runtimes: b.Runtimes, Data: b.Data, Secret: b.Secret, Captures: b.Captures, Log: b.Log}
	must(t, next.Start(t.Context()))
	t.Cleanup(func() { next.Shutdown(context.WithoutCancel(t.Context())) })
	key, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	return next, next.As(key)
}

// down is a blob store that nothing can be written to.
var down = blobtest.Full(1)

func TestWhatCouldNotBeSavedIsKeptAndTriedAgain(t *testing.T) {
	var blobs blobtest.Faulty
	b := baytest.New(t, withBlobs(&blobs))
	s := b.Service(t, "mine")
	x := newContext(t, s)
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "precious")
	blobs.Set(down)
	must(t, s.DeleteSession(t.Context(), id))
	unsaved(t, s, id)
	blobs.Set(blobtest.Fault{})
	must(t, b.Sweep(t.Context()))
	ended(t, s, id)
	if got := content(t, b.Bay, x, "/tmp/work/result"); got != "precious" {
		t.Errorf("saved: %q", got)
	}
	empty(t, b)
}

func TestNextServerSavesWhatTheLastCouldNot(t *testing.T) {
	var blobs blobtest.Faulty
	b := baytest.New(t, withBlobs(&blobs))
	s := b.Service(t, "mine")
	x := newContext(t, s)
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "precious")
	blobs.Set(down)
	must(t, s.DeleteSession(t.Context(), id))
	unsaved(t, s, id)
	must(t, b.Shutdown(t.Context()))
	blobs.Set(blobtest.Fault{})

	next, s := restarted(t, b)
	ended(t, s, id)
	if got := content(t, next, x, "/tmp/work/result"); got != "precious" {
		t.Errorf("saved: %q", got)
	}
	empty(t, b)
}

func TestSessionThatDiesIsSaved(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "precious")
	b.Host.Kill(id, "out of memory")
	ended(t, s, id)
	for content(t, b.Bay, x, "/tmp/work/result") != "precious" { // a dead session is Finished before it is released
		time.Sleep(time.Millisecond)
	}
}

func TestQuotaOfAKeyHolds(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) { b.Data.MaxPerKey = 1000 })
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", strings.Repeat("a", 600))
	for name, size := range map[string]int64{"announced": 600, "not announced": -1} {
		_, err := b.PutContextFile(t.Context(), x, "/b", strings.NewReader(strings.Repeat("b", 600)), size)
		if !errors.Is(err, agentbay.Exhausted) || !strings.Contains(agentbay.MessageOf(err), "may still keep") {
			t.Errorf("too much, %s: %v, want Exhausted", name, err)
		}
	}
	put(t, b.Bay, x, "/a", strings.Repeat("c", 900)) // in place of what was there
	if info, err := s.Context(t.Context(), x); err != nil || info.Bytes != 900 || info.Files != 1 {
		t.Errorf("kept: %+v, %v", info, err)
	}
	other := b.Service(t, "other")
	put(t, b.Bay, newContext(t, other), "/b", strings.Repeat("b", 600))

	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", strings.Repeat("r", 600))
	must(t, s.Sync(t.Context(), agentbay.SyncRequest{Session: id, Context: x, Path: "/tmp/work"}))
	task := lastTask(t, s, agentbay.SyncQuery{Session: id, Mode: agentbay.Upload})
	if task.State != agentbay.SyncFailed || !strings.Contains(task.Error, "may keep") {
		t.Errorf("a save beyond the quota: %+v", task)
	}
	must(t, s.DeleteContextFile(t.Context(), x, "/a"))
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	if got := content(t, b.Bay, x, "/tmp/work/result"); len(got) != 600 {
		t.Errorf("after room was made: %q", got)
	}
}

// lastTask waits until the one task of a query has ended.
func lastTask(t testing.TB, s agentbay.Service, q agentbay.SyncQuery) agentbay.SyncTask {
	t.Helper()
	for {
		tasks, err := s.Syncs(t.Context(), q)
		if err != nil || len(tasks) != 1 {
			t.Fatalf("Syncs: %+v, %v", tasks, err)
		}
		if tasks[0].State.Ended() {
			return tasks[0]
		}
		time.Sleep(time.Millisecond)
	}
}

func TestFullHostRefusesFiles(t *testing.T) {
	free := int64(10 << 30)
	b := baytest.New(t, func(b *baytest.Bay) {
		b.HighWater = bay.HighWater{FreeDisk: 1 << 30, Read: func() (bay.Room, error) { return bay.Room{Disk: free, Memory: 1 << 40}, nil }}
	})
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", "before")
	free = 900 << 20
	_, err := b.PutContextFile(t.Context(), x, "/a", strings.NewReader("after"), 5)
	if !errors.Is(err, agentbay.Exhausted) || !strings.Contains(agentbay.MessageOf(err), "disk space") {
		t.Errorf("on a full host: %v, want Exhausted", err)
	}
	if got := content(t, b.Bay, x, "/a"); got != "before" {
		t.Errorf("what was there is %q", got)
	}
}

// cutShort reads a little and then fails.
type cutShort struct{ io.Reader }

func (c cutShort) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestPutThatIsCutShortChangesNothing(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", "before")
	for name, body := range map[string]io.Reader{
		"broken off": cutShort{strings.NewReader("aft")},
		"too short":  strings.NewReader("aft"),
	} {
		if _, err := b.PutContextFile(t.Context(), x, "/a", body, 5); err == nil {
			t.Errorf("%s: it was kept", name)
		}
	}
	if got := content(t, b.Bay, x, "/a"); got != "before" {
		t.Errorf("what was there is %q", got)
	}
	if list, err := s.Snapshots(t.Context(), x); err != nil || len(list) != 1 {
		t.Errorf("history: %+v, %v", list, err)
	}
}

func TestNothingIsPutInTheWay(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/dir/file", "text")
	for _, path := range []string{"/dir", "/dir/file/below", "/dir/file/deep/below"} {
		if _, err := b.PutContextFile(t.Context(), x, path, strings.NewReader("x"), 1); !errors.Is(err, agentbay.Conflict) {
			t.Errorf("put %s: %v, want Conflict", path, err)
		}
	}
	if got := content(t, b.Bay, x, "/dir/file"); got != "text" {
		t.Errorf("what was there is %q", got)
	}
}

func TestFilesOfADisabledKeyAreOutOfReach(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", "text")
	key, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	must(t, b.Store.DisableKey(t.Context(), key.ID, true))
	if _, _, err := b.OpenContextFile(t.Context(), x, "/a"); !errors.Is(err, agentbay.Denied) {
		t.Errorf("read: %v, want Denied", err)
	}
	if _, err := b.PutContextFile(t.Context(), x, "/a", strings.NewReader("x"), 1); !errors.Is(err, agentbay.Denied) {
		t.Errorf("write: %v, want Denied", err)
	}
}

func TestFilesAreRecycledWhenTheirTimeIsOver(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	m := at(x, "/tmp/work")
	m.Policy.Recycle = agentbay.RecyclePolicy{Days: 3, Paths: []string{"logs", "/cache"}}
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{m}})
	for _, name := range []string{"logs/a", "cache/deep/b", "logs2", "result"} {
		write(t, s, id, "/tmp/work/"+name, "text")
	}
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	for _, age := range []struct {
		days int
		left int64
	}{{1, 4}, {4, 2}} {
		must(t, b.Recycle(t.Context(), time.Now().AddDate(0, 0, age.days)))
		if info, err := s.Context(t.Context(), x); err != nil || info.Files != age.left {
			t.Errorf("after %d days: %+v, %v; want %d files", age.days, info, err, age.left)
		}
	}
	for name, want := range map[string]bool{"logs2": true, "result": true, "logs/a": false, "cache/deep/b": false} {
		if got := content(t, b.Bay, x, "/tmp/work/"+name) == "text"; got != want {
			t.Errorf("%s is there: %t, want %t", name, got, want)
		}
	}
}

func TestDataThatNothingNeedsIsFreed(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	gone, kept := newContext(t, s), newContext(t, s)
	put(t, b.Bay, gone, "/a", rand.Text())
	put(t, b.Bay, kept, "/a", "kept")
	must(t, s.DeleteContext(t.Context(), gone))
	for { // a collection may be under way
		must(t, b.Collect(t.Context()))
		n := 0
		for _, err := range b.Data.Blobs.List(t.Context(), "") {
			must(t, err)
			n++
		}
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := content(t, b.Bay, kept, "/a"); got != "kept" {
		t.Errorf("what is needed: %q", got)
	}
}

func TestHistoryIsAsLongAsConfigured(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) { b.Data.Snapshots = 3 })
	s := b.Service(t, "mine")
	x := newContext(t, s)
	for range 5 {
		put(t, b.Bay, x, "/a", rand.Text())
	}
	for _, name := range []string{"b", "c", "d"} { // added together, they are one more
		put(t, b.Bay, x, "/"+name, "new")
	}
	must(t, b.Collect(t.Context()))
	list, err := s.Snapshots(t.Context(), x)
	if err != nil || len(list) != 3 || !list[0].Current || list[0].Files != 4 || list[1].Files != 1 {
		t.Errorf("history: %+v, %v", list, err)
	}
}

func TestHiddenContextEndsWithItsSession(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	m, err := s.TransferContext(t.Context(), id)
	must(t, err)
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	if _, err := s.Context(t.Context(), m.Context); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("after the session: %v, want NotFound", err)
	}
}

func TestClearingGoesOnAfterARestart(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", "text")
	must(t, b.Shutdown(t.Context()))
	must(t, b.Store.SetContextState(t.Context(), x, agentbay.ContextClearing)) // and the server was killed
	restarted(t, b)
	for {
		c, err := b.Store.Context(t.Context(), x)
		must(t, err)
		if c.State == agentbay.ContextAvailable {
			if c.Files != 0 || c.Root != "" {
				t.Errorf("cleared: %+v", c)
			}
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestMountsSurviveTheServer(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/tmp/work/old", "old")
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	must(t, b.Shutdown(t.Context()))
	next, s := restarted(t, b)
	if mounts, err := s.ContextMounts(t.Context(), id); err != nil || len(mounts) != 1 || mounts[0].Path != "/tmp/work" {
		t.Fatalf("mounts after the restart: %+v, %v", mounts, err)
	}
	write(t, s, id, "/tmp/work/new", "new")
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	for _, name := range []string{"old", "new"} {
		if got := content(t, next, x, "/tmp/work/"+name); got != name {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLostIndexIsMadeAnew(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", "text")
	must(t, b.Shutdown(t.Context()))
	fresh := baytest.NewData(t)
	b.Data = &bay.Data{Dir: b.Data.Dir, Blobs: b.Data.Blobs, Chunks: fresh.Chunks, Trees: fresh.Trees}
	next, _ := restarted(t, b)
	if got := content(t, next, x, "/a"); got != "text" {
		t.Errorf("after the index was lost: %q", got)
	}
}

func TestTroubleOfTheBlobStoreIsTheOperators(t *testing.T) {
	var blobs blobtest.Faulty
	b := baytest.New(t, withBlobs(&blobs))
	s := b.Service(t, "mine")
	x := newContext(t, s)
	blobs.Set(blobtest.Fail(blobtest.Put, 1))
	_, err := b.PutContextFile(t.Context(), x, "/a", strings.NewReader("text"), 4)
	if !errors.Is(err, agentbay.Unavailable) || strings.Contains(agentbay.MessageOf(err), "test") || !strings.Contains(err.Error(), "this is a test") {
		t.Errorf("a store that fails: %v", err)
	}
}

func TestSyncGoesOnAfterARestart(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	x := newContext(t, s)
	id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/work")}})
	write(t, s, id, "/tmp/work/result", "precious")
	req := agentbay.SyncRequest{Session: id, Context: x, Path: "/tmp/work", Mode: agentbay.Upload}
	must(t, b.Store.BeginSync(t.Context(), req)) // and the server was killed
	must(t, b.Shutdown(t.Context()))
	next, s := restarted(t, b)
	task := lastTask(t, s, agentbay.SyncQuery{Session: id, Context: x, Path: "/tmp/work", Mode: agentbay.Upload})
	if task.State != agentbay.SyncSuccess {
		t.Errorf("the sync: %+v", task)
	}
	if got := content(t, next, x, "/tmp/work/result"); got != "precious" {
		t.Errorf("saved: %q", got)
	}
	if open, err := b.Store.OpenSyncs(t.Context(), id); err != nil || len(open) != 0 {
		t.Errorf("it is still open: %+v, %v", open, err)
	}
}

func TestBayWithoutDataSaysSo(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) { b.Data = nil })
	s := b.Service(t, "mine")
	if _, err := s.CreateContext(t.Context(), "x"); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("CreateContext: %v, want Unavailable", err)
	}
	id := create(t, s, agentbay.SessionSpec{})
	must(t, try(t, s, id))
}
