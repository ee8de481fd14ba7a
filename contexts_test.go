package agentbay_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
)

// written is the directory of the host with what a session writes to its nth mount.
func written(t *testing.T, b *baytest.Bay, id agentbay.SessionID, nth int) string {
	t.Helper()
	w, err := b.Host.Written(t.Context(), id, b.Host.Mounts(id)[nth].Name)
	must(t, err)
	t.Cleanup(func() { w.Close() })
	return w.Merged
}

func TestSyncReturnsWhenFilesHaveMoved(t *testing.T) {
	b, ctx := baytest.New(t, realTools), t.Context()
	c := newClient(t, serve(t, b), b.NewKey(t, "mine"))
	x, err := c.ContextNamed(ctx, "my-project", true)
	must(t, err)
	s, err := c.Create(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{
		{Context: x.ID, Path: "/tmp/data/", Policy: agentbay.DefaultSyncPolicy},
	}})
	must(t, err)
	must(t, s.MountContexts(ctx, agentbay.ContextMount{Context: x.ID, Path: "/tmp/more", Policy: agentbay.DefaultSyncPolicy}))
	must(t, os.WriteFile(filepath.Join(written(t, b, s.ID, 0), "a"), []byte("from the session"), 0o600))
	must(t, s.SyncContexts(ctx, agentbay.SyncRequest{}))
	var got bytes.Buffer
	if err := c.GetContextFile(ctx, x.ID, "/tmp/data/a", &got); err != nil || got.String() != "from the session" {
		t.Errorf("after an upload the context has %q, %v", got.String(), err)
	}
	must(t, c.PutContextFile(ctx, x.ID, "/tmp/more/b", strings.NewReader("from outside")))
	must(t, s.SyncContexts(ctx, agentbay.SyncRequest{Mode: agentbay.Download, Context: x.ID, Path: "/tmp/more"}))
	if got, err := os.ReadFile(filepath.Join(written(t, b, s.ID, 1), "b")); err != nil || string(got) != "from outside" {
		t.Errorf("after a download the session has %q, %v", got, err)
	}
	tasks, err := c.Syncs(ctx, agentbay.SyncQuery{Session: s.ID, Mode: agentbay.Upload, Path: "/tmp/data/"})
	if err != nil || len(tasks) != 1 || tasks[0].State != agentbay.SyncSuccess || tasks[0].FinishedAt.IsZero() || tasks[0].Bytes != 16 {
		t.Errorf("the upload is %+v, %v", tasks, err)
	}
}

func TestSyncSaysWhyItFailed(t *testing.T) {
	b, ctx := baytest.New(t, realTools), t.Context()
	c := newClient(t, serve(t, b), b.NewKey(t, "mine"))
	x, err := c.CreateContext(ctx, "x")
	must(t, err)
	m := agentbay.ContextMount{Context: x.ID, Path: "/tmp/data", Policy: agentbay.DefaultSyncPolicy}
	s, err := c.Create(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{m}})
	must(t, err)
	if err := s.MountContexts(ctx, m); !errors.Is(err, agentbay.Conflict) || !strings.Contains(err.Error(), "PathAlreadyBound") {
		t.Errorf("a second mount at the same path: %v, want Conflict", err)
	}
	if err := s.SyncContexts(ctx, agentbay.SyncRequest{Context: "SdkCtx-none"}); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("sync of a context that is not there: %v, want NotFound", err)
	}
	b.Host.SetFaults(fake.Faults{Mount: func(runtime.Mount) error {
		return agentbay.Errorf(agentbay.Invalid, "/proc/x cannot be a directory")
	}})
	m.Path = "/home/x"
	if err := s.MountContexts(ctx, m); err == nil || !strings.Contains(err.Error(), "/proc/x cannot be a directory") {
		t.Errorf("a mount that the machine refuses: %v", err)
	}
	_, err = c.Create(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{m}})
	if err == nil || !strings.Contains(err.Error(), "/proc/x cannot be a directory") {
		t.Errorf("a session whose mount fails: %v", err)
	}
	page, err := c.Sessions(ctx, agentbay.SessionQuery{State: agentbay.Running})
	if err != nil || len(page.Sessions) != 1 {
		t.Errorf("%+v sessions are left, %v; want the first one", page, err)
	}
}

func TestPoliciesCrossTheWire(t *testing.T) {
	b, ctx := baytest.New(t, realTools), t.Context()
	c := newClient(t, serve(t, b), b.NewKey(t, "mine"))
	x, err := c.CreateContext(ctx, "x")
	must(t, err)
	want := []agentbay.ContextMount{
		{Context: x.ID, Path: "/tmp/default", Policy: agentbay.DefaultSyncPolicy},
		{Context: x.ID, Path: "/tmp/zero"},
		{Context: x.ID, Path: "/tmp/all", Policy: agentbay.SyncPolicy{
			ManualUpload: true, ManualDownload: true, Archive: true, KeepDeleted: true,
			Extract:   agentbay.ExtractPolicy{Extract: true, CurrentFolder: true},
			Recycle:   agentbay.RecyclePolicy{Days: 3, Paths: []string{"logs", "tmp/old"}},
			WhiteList: []agentbay.WhiteList{{Path: "src", Exclude: []string{"a", "b/c"}}, {Path: "ü <x>"}},
			Mapping:   "C:/Users/x",
		}},
		{Context: x.ID, Path: "/tmp/recycled", Policy: agentbay.SyncPolicy{Recycle: agentbay.RecyclePolicy{Days: 360, Paths: []string{""}}}},
	}
	s, err := c.CreateSession(ctx, agentbay.SessionSpec{Contexts: want})
	must(t, err)
	must(t, agentbay.Use(c, s.ID).AwaitContexts(ctx, want...))
	got, err := c.ContextMounts(ctx, s.ID)
	if err != nil || len(got) != len(want) {
		t.Fatalf("the session mounts %+v, %v", got, err)
	}
	for _, w := range want {
		i := slices.IndexFunc(got, func(m agentbay.ContextMount) bool { return m.Path == w.Path })
		if i < 0 || got[i].Context != x.ID || got[i].Name != "x" || got[i].BoundAt.IsZero() || !reflect.DeepEqual(got[i].Policy, w.Policy) {
			t.Errorf("the mounts are\n%+v\nwant\n%+v", got, w)
		}
	}
	if _, err := c.CreateSession(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{{Context: x.ID, Path: "/tmp/\xff"}}}); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("a path that is not text: %v, want Invalid", err)
	}
}

func TestHistoryCrossesTheWire(t *testing.T) {
	c, ctx := newBayClient(t), t.Context()
	x, err := c.CreateContext(ctx, "x")
	must(t, err)
	if _, err := c.CreateContext(ctx, "x"); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("a context made twice: %v, want Conflict", err)
	}
	for _, text := range []string{"first", "second"} {
		must(t, c.PutContextFile(ctx, x.ID, "/f", strings.NewReader(text)))
	}
	list, err := c.Snapshots(ctx, x.ID)
	if err != nil || len(list) < 2 || !list[0].Current || list[0].Bytes != 6 || list[0].Reason != "put" || list[0].At.IsZero() {
		t.Fatalf("the history is %+v, %v", list, err)
	}
	must(t, c.RestoreContext(ctx, x.ID, list[1].ID))
	var got bytes.Buffer
	if err := c.GetContextFile(ctx, x.ID, "/f", &got); err != nil || got.String() != "first" {
		t.Errorf("after a restore the file is %q, %v", got.String(), err)
	}
	info, err := c.Context(ctx, x.ID)
	if err != nil || info.Name != "x" || info.Bytes != 5 || info.Files != 1 || info.CreatedAt.IsZero() || info.State != agentbay.ContextAvailable {
		t.Errorf("the context is %+v, %v", info, err)
	}
}

func TestAClearedContextIsEmpty(t *testing.T) {
	c, ctx := newBayClient(t), t.Context()
	x, err := c.CreateContext(ctx, "x")
	must(t, err)
	must(t, c.PutContextFile(ctx, x.ID, "/f", strings.NewReader("text")))
	must(t, c.ClearContext(ctx, x.ID))
	must(t, c.AwaitCleared(ctx, x.ID))
	page, err := c.ContextFiles(ctx, x.ID, "/", 0, 0)
	if err != nil || page.Total != 0 || len(page.Files) != 0 {
		t.Errorf("the context has %+v, %v", page, err)
	}
	if err := c.AwaitCleared(ctx, "SdkCtx-none"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("AwaitCleared of what is not there: %v, want NotFound", err)
	}
}
