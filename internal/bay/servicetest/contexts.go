package servicetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// contextTests is what it means to keep contexts.
var contextTests = map[string]func(*testing.T, agentbay.Service, agentbay.Service){
	"ContextIsMadeOnce":                    contextOnce,
	"ContextNamesAreChecked":               contextNames,
	"ContextsPageNewestFirst":              contextPaging,
	"AnotherKeysContextIsNotFound":         contextTenants,
	"RenamedContextHasItsNewName":          contextRename,
	"DeletedContextIsGone":                 contextDeleted,
	"NextSessionSeesWhatTheLastOneWrote":   contextPersists,
	"SyncSavesAtOnce":                      contextSync,
	"DownloadBringsWhatOthersSaved":        contextDownload,
	"BoundContextIsThereWhenBindReturns":   contextBind,
	"OnePathIsBoundOnce":                   contextBindTwice,
	"ContextsAreMountedInOneAnother":       contextNested,
	"PolicyThatMeansNothingIsRefused":      contextBadPolicy,
	"ManualPolicyMovesNothingByItself":     contextManual,
	"OnlyTheWhiteListIsSaved":              contextWhiteList,
	"ClearedContextIsEmpty":                contextClear,
	"RestoreBringsBackWhatWas":             contextRestore,
	"FilesAreListedAndDeleted":             contextFiles,
	"AnyPathIsTransferred":                 contextTransfer,
	"LastFinishedSaveWinsFileByFile":       contextTwoWriters,
	"UnknownSyncIsRefused":                 contextBadSync,
	"MountThatCannotBeMadeTellsInItsTask":  contextBadTarget,
	"WhatADeletedContextsMountHasIsUsable": contextDeletedWhileMounted,
}

func newContext(t *testing.T, s agentbay.Service) *agentbay.ContextInfo {
	t.Helper()
	x, err := s.CreateContext(t.Context(), "test-"+strings.ToLower(rand.Text()))
	if err != nil {
		t.Fatalf("CreateContext: %v", err)
	}
	t.Cleanup(func() { s.DeleteContext(context.WithoutCancel(t.Context()), x.ID) })
	return x
}

// mounted makes a session that mounts a context.
func mounted(t *testing.T, s agentbay.Service, m agentbay.ContextMount) *agentbay.SessionInfo {
	t.Helper()
	info := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{m}})
	if task := await(t, s, agentbay.SyncQuery{Session: info.ID, Context: m.Context, Mode: agentbay.Download}); task.State != agentbay.SyncSuccess {
		t.Fatalf("mount of %s: %+v", m.Path, task)
	}
	return info
}

// at is a mount with the usual policy.
func at(id agentbay.ContextID, path string) agentbay.ContextMount {
	return agentbay.ContextMount{Context: id, Path: path, Policy: agentbay.DefaultSyncPolicy}
}

// await waits until the one task of a query has ended.
func await(t *testing.T, s agentbay.Service, q agentbay.SyncQuery) agentbay.SyncTask {
	t.Helper()
	for {
		tasks, err := s.Syncs(t.Context(), q)
		if err != nil || len(tasks) != 1 {
			t.Fatalf("Syncs: %+v, %v; want one", tasks, err)
		}
		if tasks[0].State.Ended() {
			return tasks[0]
		}
		pause(t)
	}
}

// sync moves files and waits until that is done.
func sync(t *testing.T, s agentbay.Service, req agentbay.SyncRequest) agentbay.SyncTask {
	t.Helper()
	if err := s.Sync(t.Context(), req); err != nil {
		t.Fatalf("Sync: %v", err)
	}
	return await(t, s, agentbay.SyncQuery{Session: req.Session, Context: req.Context, Path: req.Path, Mode: req.Mode})
}

func mustSync(t *testing.T, s agentbay.Service, req agentbay.SyncRequest) {
	t.Helper()
	if task := sync(t, s, req); task.State != agentbay.SyncSuccess {
		t.Fatalf("%s of %s: %+v", req.Mode, req.Path, task)
	}
}

func write(t *testing.T, s agentbay.Service, id agentbay.SessionID, path, text string) {
	t.Helper()
	if r := call(t, s, id, mustCall(tool.WriteFile, tool.WriteFileIn{Path: path, Content: text})); r.Failed {
		t.Fatalf("write %s: %s", path, r.Text)
	}
}

// read returns a file's text, or "missing".
func read(t *testing.T, s agentbay.Service, id agentbay.SessionID, path string) string {
	t.Helper()
	r := call(t, s, id, mustCall(tool.ReadFile, tool.ReadFileIn{Path: path}))
	if r.Failed {
		return "missing"
	}
	return r.Text
}

// end deletes a session and waits until it has ended.
func end(t *testing.T, s agentbay.Service, id agentbay.SessionID) {
	t.Helper()
	if err := s.DeleteSession(t.Context(), id); err != nil {
		t.Fatalf("DeleteSession: %v", err)
	}
	for {
		info, err := s.Session(t.Context(), id)
		if err != nil {
			t.Fatalf("Session: %v", err)
		}
		if info.State.Ended() {
			return
		}
		pause(t)
	}
}

func contextOnce(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	if !strings.HasPrefix(string(x.ID), "SdkCtx-") || x.State != agentbay.ContextAvailable || x.CreatedAt.IsZero() {
		t.Errorf("CreateContext: %+v", x)
	}
	for _, make := range []bool{true, false} {
		if got, err := s.ContextNamed(t.Context(), x.Name, make); err != nil || got.ID != x.ID {
			t.Errorf("ContextNamed, create %t: %+v, %v; want %s", make, got, err, x.ID)
		}
	}
	if got, err := s.Context(t.Context(), x.ID); err != nil || got.Name != x.Name {
		t.Errorf("Context: %+v, %v", got, err)
	}
	if _, err := s.CreateContext(t.Context(), x.Name); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("CreateContext of a name that is taken: %v, want Conflict", err)
	}
	if _, err := s.ContextNamed(t.Context(), x.Name+"-not", false); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("ContextNamed of an unknown name: %v, want NotFound", err)
	}
}

func contextNames(t *testing.T, s, _ agentbay.Service) {
	for name, bad := range map[string]string{"empty": "", "long": strings.Repeat("n", 256), "control character": "a\nb"} {
		if _, err := s.CreateContext(t.Context(), bad); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%s name: %v, want Invalid", name, err)
		}
	}
	odd := newContext(t, s)
	if err := s.RenameContext(t.Context(), odd.ID, "雪 & <b>'\""+rand.Text()); err != nil {
		t.Errorf("an unusual name: %v", err)
	}
}

func contextPaging(t *testing.T, s, _ agentbay.Service) {
	var made []agentbay.ContextID
	for range 3 {
		made = append(made, newContext(t, s).ID)
	}
	slices.Reverse(made)
	var seen []agentbay.ContextID
	q := agentbay.ContextQuery{Limit: 2}
	for {
		page, err := s.Contexts(t.Context(), q)
		if err != nil || len(page.Contexts) > 2 || page.Total < 3 {
			t.Fatalf("Contexts: %+v, %v", page, err)
		}
		for _, x := range page.Contexts {
			seen = append(seen, x.ID)
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	var mine []agentbay.ContextID
	for _, id := range seen {
		if slices.Contains(made, id) {
			mine = append(mine, id)
		}
	}
	if !slices.Equal(mine, made) {
		t.Errorf("listed %v, want %v", mine, made)
	}
}

// contextCalls is every call about a context.
func contextCalls(ctx context.Context, s agentbay.Service, id agentbay.ContextID, session agentbay.SessionID) map[string]error {
	all := map[string]error{}
	_, all["Context"] = s.Context(ctx, id)
	all["RenameContext"] = s.RenameContext(ctx, id, "other")
	all["ClearContext"] = s.ClearContext(ctx, id)
	_, all["ContextFiles"] = s.ContextFiles(ctx, id, "/", 0, 0)
	_, all["UploadURL"] = s.UploadURL(ctx, id, "/a")
	_, all["DownloadURL"] = s.DownloadURL(ctx, id, "/a")
	all["DeleteContextFile"] = s.DeleteContextFile(ctx, id, "/a")
	_, all["Snapshots"] = s.Snapshots(ctx, id)
	all["RestoreContext"] = s.RestoreContext(ctx, id, "snap-1")
	all["MountContexts"] = s.MountContexts(ctx, session, at(id, "/tmp/x"))
	all["Sync"] = s.Sync(ctx, agentbay.SyncRequest{Session: session, Context: id, Path: "/tmp/y", Mode: agentbay.Upload})
	_, all["CreateSession"] = s.CreateSession(ctx, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(id, "/tmp/x")}})
	all["DeleteContext"] = s.DeleteContext(ctx, id)
	return all
}

func contextTenants(t *testing.T, mine, other agentbay.Service) {
	x := newContext(t, mine)
	session := create(t, other, agentbay.SessionSpec{})
	for name, err := range contextCalls(t.Context(), other, x.ID, session.ID) {
		if !errors.Is(err, agentbay.NotFound) {
			t.Errorf("%s of another key's context: %v, want NotFound", name, err)
		}
	}
	theirs, err := other.ContextNamed(t.Context(), x.Name, true)
	if err != nil || theirs.ID == x.ID {
		t.Fatalf("the same name for another key: %+v, %v", theirs, err)
	}
	other.DeleteContext(t.Context(), theirs.ID)
	if _, err := mine.Context(t.Context(), x.ID); err != nil {
		t.Errorf("after another key tried: %v", err)
	}
}

func contextRename(t *testing.T, s, _ agentbay.Service) {
	one, two := newContext(t, s), newContext(t, s)
	if err := s.RenameContext(t.Context(), one.ID, two.Name); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("a name that is taken: %v, want Conflict", err)
	}
	fresh := one.Name + "-fresh"
	if err := s.RenameContext(t.Context(), one.ID, fresh); err != nil {
		t.Fatalf("RenameContext: %v", err)
	}
	if got, err := s.ContextNamed(t.Context(), fresh, false); err != nil || got.ID != one.ID {
		t.Errorf("by its new name: %+v, %v", got, err)
	}
	if _, err := s.ContextNamed(t.Context(), one.Name, false); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("by its old name: %v, want NotFound", err)
	}
}

func contextDeleted(t *testing.T, s, _ agentbay.Service) {
	x, session := newContext(t, s), create(t, s, agentbay.SessionSpec{})
	if err := s.DeleteContext(t.Context(), x.ID); err != nil {
		t.Fatalf("DeleteContext: %v", err)
	}
	for name, err := range contextCalls(t.Context(), s, x.ID, session.ID) {
		if !errors.Is(err, agentbay.NotFound) || !strings.Contains(agentbay.MessageOf(err), "not found") {
			t.Errorf("%s of a deleted context: %v, want NotFound, saying so", name, err)
		}
	}
}

func contextPersists(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	one := mounted(t, s, at(x.ID, "/tmp/persistent"))
	write(t, s, one.ID, "/tmp/persistent/important.txt", "This will persist")
	write(t, s, one.ID, "/tmp/persistent/deep/er/雪.txt", "this too")
	write(t, s, one.ID, "/tmp/other.txt", "this not")
	if err := s.DeleteSession(t.Context(), one.ID); err != nil {
		t.Fatalf("DeleteSession: %v", err)
	}
	// At once: what is still being saved is waited for.
	two := mounted(t, s, at(x.ID, "/tmp/persistent"))
	for path, want := range map[string]string{
		"/tmp/persistent/important.txt": "This will persist", "/tmp/persistent/deep/er/雪.txt": "this too", "/tmp/other.txt": "missing",
	} {
		if got := read(t, s, two.ID, path); got != want {
			t.Errorf("%s in the next session: %q, want %q", path, got, want)
		}
	}
	mounts, err := s.ContextMounts(t.Context(), two.ID)
	if err != nil || len(mounts) != 1 || mounts[0].Context != x.ID || mounts[0].Path != "/tmp/persistent" || mounts[0].Name != x.Name || mounts[0].BoundAt.IsZero() {
		t.Errorf("ContextMounts: %+v, %v", mounts, err)
	}
	page, err := s.Contexts(t.Context(), agentbay.ContextQuery{Session: two.ID})
	if err != nil || len(page.Contexts) != 1 || page.Contexts[0].ID != x.ID || page.Total != 1 {
		t.Errorf("contexts of the session: %+v, %v", page, err)
	}
}

func contextSync(t *testing.T, s, _ agentbay.Service) {
	x, y := newContext(t, s), newContext(t, s)
	info := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x.ID, "/tmp/x"), at(y.ID, "/tmp/y/")}})
	write(t, s, info.ID, "/tmp/x/a", "in x")
	write(t, s, info.ID, "/tmp/y/b", "in y")
	mustSync(t, s, agentbay.SyncRequest{Session: info.ID, Context: x.ID, Path: "/tmp/x", Mode: agentbay.Upload})
	if got := names(t, s, x.ID, "/tmp/x"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the synced context has %q", got)
	}
	if got := names(t, s, y.ID, "/tmp/y"); len(got) != 0 {
		t.Errorf("the other context has %q already", got)
	}
	if err := s.Sync(t.Context(), agentbay.SyncRequest{Session: info.ID}); err != nil {
		t.Fatalf("Sync of all: %v", err)
	}
	task := await(t, s, agentbay.SyncQuery{Session: info.ID, Context: y.ID, Mode: agentbay.Upload})
	if task.State != agentbay.SyncSuccess || task.Path != "/tmp/y/" || task.Files != 1 || task.Bytes != 4 || task.FinishedAt.Before(task.StartedAt) {
		t.Errorf("task: %+v", task)
	}
	if got := names(t, s, y.ID, "/tmp/y"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after the sync of all: %q", got)
	}
}

// names lists a directory of a context.
func names(t *testing.T, s agentbay.Service, id agentbay.ContextID, dir string) (all []string) {
	t.Helper()
	page, err := s.ContextFiles(t.Context(), id, dir, 0, 0)
	if err != nil || page.Total < len(page.Files) {
		t.Fatalf("ContextFiles of %s: %+v, %v", dir, page, err)
	}
	for _, f := range page.Files {
		all = append(all, f.Name)
	}
	return all
}

func contextDownload(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	one, two := mounted(t, s, at(x.ID, "/tmp/shared")), mounted(t, s, at(x.ID, "/tmp/shared"))
	write(t, s, two.ID, "/tmp/shared/own", "of two")
	write(t, s, one.ID, "/tmp/shared/news", "from one")
	mustSync(t, s, agentbay.SyncRequest{Session: one.ID, Context: x.ID, Path: "/tmp/shared", Mode: agentbay.Upload})
	mustSync(t, s, agentbay.SyncRequest{Session: two.ID, Context: x.ID, Path: "/tmp/shared", Mode: agentbay.Download})
	if got := read(t, s, two.ID, "/tmp/shared/news"); got != "from one" {
		t.Errorf("news in the second session: %q", got)
	}
	if got := read(t, s, two.ID, "/tmp/shared/own"); got != "of two" {
		t.Errorf("what the second session wrote: %q", got)
	}
}

func contextBind(t *testing.T, s, _ agentbay.Service) {
	x, y := newContext(t, s), newContext(t, s)
	one := create(t, s, agentbay.SessionSpec{})
	if err := s.MountContexts(t.Context(), one.ID, at(x.ID, "/tmp/bound/x"), at(y.ID, "/tmp/bound/y")); err != nil {
		t.Fatalf("MountContexts: %v", err)
	}
	write(t, s, one.ID, "/tmp/bound/x/a", "one")
	write(t, s, one.ID, "/tmp/bound/y/b", "two")
	end(t, s, one.ID)
	two := create(t, s, agentbay.SessionSpec{})
	if err := s.MountContexts(t.Context(), two.ID, at(y.ID, "/tmp/bound/y")); err != nil {
		t.Fatalf("MountContexts: %v", err)
	}
	if got := read(t, s, two.ID, "/tmp/bound/y/b"); got != "two" {
		t.Errorf("right after the bind: %q", got)
	}
	if got := read(t, s, two.ID, "/tmp/bound/x/a"); got != "missing" {
		t.Errorf("a context that is not bound: %q", got)
	}
}

func contextBindTwice(t *testing.T, s, _ agentbay.Service) {
	x, y := newContext(t, s), newContext(t, s)
	info := mounted(t, s, at(x.ID, "/tmp/place"))
	err := s.MountContexts(t.Context(), info.ID, at(y.ID, "/tmp//place/"))
	if !errors.Is(err, agentbay.Conflict) || !strings.Contains(agentbay.MessageOf(err), "PathAlreadyBound") {
		t.Errorf("another context at the same path: %v", err)
	}
	err = s.MountContexts(t.Context(), info.ID, at(y.ID, "/tmp"))
	if !errors.Is(err, agentbay.Conflict) || !strings.Contains(agentbay.MessageOf(err), "/tmp/place") {
		t.Errorf("another context above it: %v; want Conflict, naming what it would hide", err)
	}
	_, err = s.CreateSession(t.Context(), agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x.ID, "/tmp/p"), at(y.ID, "/tmp/p")}})
	if !errors.Is(err, agentbay.Conflict) {
		t.Errorf("two contexts at one path: %v, want Conflict", err)
	}
}

func contextNested(t *testing.T, s, _ agentbay.Service) {
	x, y := newContext(t, s), newContext(t, s)
	mounts := []agentbay.ContextMount{at(y.ID, "/tmp/outer/in/ner"), at(x.ID, "/tmp/outer")}
	one := create(t, s, agentbay.SessionSpec{Contexts: mounts})
	write(t, s, one.ID, "/tmp/outer/a", "of x")
	write(t, s, one.ID, "/tmp/outer/in/ner/b", "of y")
	end(t, s, one.ID)
	if got := names(t, s, x.ID, "/tmp/outer/in/ner"); len(got) != 0 {
		t.Errorf("the outer context has %q of the inner one", got)
	}
	two := create(t, s, agentbay.SessionSpec{Contexts: mounts})
	for path, want := range map[string]string{"/tmp/outer/a": "of x", "/tmp/outer/in/ner/b": "of y"} {
		if got := read(t, s, two.ID, path); got != want {
			t.Errorf("%s in the next session: %q, want %q", path, got, want)
		}
	}
}

func contextBadPolicy(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	for entry, policy := range map[string]agentbay.SyncPolicy{
		"*.json":       {WhiteList: []agentbay.WhiteList{{Path: "*.json"}}},
		"/tmp/data/in": {WhiteList: []agentbay.WhiteList{{Path: "/tmp/data/in"}}},
		"no?de":        {WhiteList: []agentbay.WhiteList{{Path: "", Exclude: []string{"no?de"}}}},
		"../up":        {WhiteList: []agentbay.WhiteList{{Path: "../up"}}},
		"log*":         {Recycle: agentbay.RecyclePolicy{Days: 1, Paths: []string{"log*"}}},
		"7 days":       {Recycle: agentbay.RecyclePolicy{Days: 7, Paths: []string{""}}},
	} {
		_, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Contexts: []agentbay.ContextMount{{Context: x.ID, Path: "/tmp/data", Policy: policy}}})
		if !errors.Is(err, agentbay.Invalid) || !strings.Contains(agentbay.MessageOf(err), entry) {
			t.Errorf("%s: %v; want Invalid, naming it", entry, err)
		}
	}
	for _, path := range []string{"", "relative", "/", "/tmp/../etc"} {
		_, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x.ID, path)}})
		if !errors.Is(err, agentbay.Invalid) {
			t.Errorf("mount at %q: %v, want Invalid", path, err)
		}
	}
}

func contextManual(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	manual := agentbay.ContextMount{Context: x.ID, Path: "/tmp/manual", Policy: agentbay.SyncPolicy{ManualUpload: true, ManualDownload: true}}
	one := mounted(t, s, manual)
	write(t, s, one.ID, "/tmp/manual/asked", "1")
	mustSync(t, s, agentbay.SyncRequest{Session: one.ID, Context: x.ID, Path: "/tmp/manual", Mode: agentbay.Upload})
	write(t, s, one.ID, "/tmp/manual/unasked", "2")
	end(t, s, one.ID)
	if got := names(t, s, x.ID, "/tmp/manual"); !slices.Equal(got, []string{"asked"}) {
		t.Errorf("saved: %q", got)
	}
	two := mounted(t, s, manual)
	if got := read(t, s, two.ID, "/tmp/manual/asked"); got != "missing" {
		t.Errorf("shown without being asked for: %q", got)
	}
	mustSync(t, s, agentbay.SyncRequest{Session: two.ID, Context: x.ID, Path: "/tmp/manual", Mode: agentbay.Download})
	if got := read(t, s, two.ID, "/tmp/manual/asked"); got != "1" {
		t.Errorf("after the download: %q", got)
	}
}

func contextWhiteList(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	m := at(x.ID, "/tmp/some")
	m.Policy.WhiteList = []agentbay.WhiteList{{Path: "/src", Exclude: []string{"/node_modules"}}, {Path: "notes.txt"}}
	one := mounted(t, s, m)
	for _, path := range []string{"src/a.go", "src/node_modules/b.js", "notes.txt", "other.txt"} {
		write(t, s, one.ID, "/tmp/some/"+path, path)
	}
	end(t, s, one.ID)
	two := mounted(t, s, at(x.ID, "/tmp/some"))
	for path, want := range map[string]string{
		"src/a.go": "src/a.go", "notes.txt": "notes.txt", "src/node_modules/b.js": "missing", "other.txt": "missing",
	} {
		if got := read(t, s, two.ID, "/tmp/some/"+path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// filled makes a context with files.
func filled(t *testing.T, s agentbay.Service, dir string, files map[string]string) *agentbay.ContextInfo {
	t.Helper()
	x := newContext(t, s)
	info := mounted(t, s, at(x.ID, dir))
	for name, text := range files {
		write(t, s, info.ID, dir+"/"+name, text)
	}
	end(t, s, info.ID)
	return x
}

func contextClear(t *testing.T, s, _ agentbay.Service) {
	x := filled(t, s, "/tmp/full", map[string]string{"a": "1", "b/c": "2"})
	before, err := s.Context(t.Context(), x.ID)
	if err != nil || before.Files != 2 || before.Bytes != 2 {
		t.Fatalf("before: %+v, %v", before, err)
	}
	if err := s.ClearContext(t.Context(), x.ID); err != nil {
		t.Fatalf("ClearContext: %v", err)
	}
	for {
		now, err := s.Context(t.Context(), x.ID)
		if err != nil {
			t.Fatalf("Context: %v", err)
		}
		if now.State == agentbay.ContextAvailable {
			if now.Files != 0 || now.Bytes != 0 || now.Name != x.Name {
				t.Errorf("cleared: %+v", now)
			}
			break
		}
		pause(t)
	}
	if got := names(t, s, x.ID, "/"); len(got) != 0 {
		t.Errorf("cleared, it has %q", got)
	}
}

func contextRestore(t *testing.T, s, _ agentbay.Service) {
	x := filled(t, s, "/tmp/past", map[string]string{"keep": "first", "gone": "later"})
	two := mounted(t, s, at(x.ID, "/tmp/past"))
	write(t, s, two.ID, "/tmp/past/keep", "second")
	end(t, s, two.ID)
	if err := s.DeleteContextFile(t.Context(), x.ID, "/tmp/past/gone"); err != nil {
		t.Fatalf("DeleteContextFile: %v", err)
	}
	list, err := s.Snapshots(t.Context(), x.ID)
	if err != nil || len(list) != 3 || !list[0].Current || list[0].Reason != "delete" || list[1].Session != two.ID || list[2].Files != 2 {
		t.Fatalf("Snapshots: %+v, %v", list, err)
	}
	if err := s.RestoreContext(t.Context(), x.ID, list[2].ID); err != nil {
		t.Fatalf("RestoreContext: %v", err)
	}
	three := mounted(t, s, at(x.ID, "/tmp/past"))
	for name, want := range map[string]string{"keep": "first", "gone": "later"} {
		if got := read(t, s, three.ID, "/tmp/past/"+name); got != want {
			t.Errorf("%s after the restore: %q, want %q", name, got, want)
		}
	}
	if err := s.RestoreContext(t.Context(), x.ID, "snap-unknown"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("an unknown snapshot: %v, want NotFound", err)
	}
	if list, err := s.Snapshots(t.Context(), x.ID); err != nil || len(list) != 4 || list[0].Reason != "restore" {
		t.Errorf("history after the restore: %+v, %v", list, err)
	}
}

func contextFiles(t *testing.T, s, _ agentbay.Service) {
	x := filled(t, s, "/tmp/list", map[string]string{"b": "bb", "a": "a", "dir/x": "x", "dir/y": "y", "dir2/z": "z"})
	page, err := s.ContextFiles(t.Context(), x.ID, "/tmp/list", 1, 2)
	if err != nil || page.Total != 4 || len(page.Files) != 2 {
		t.Fatalf("ContextFiles: %+v, %v", page, err)
	}
	if b := page.Files[0]; b.Name != "b" || b.Path != "/tmp/list/b" || b.Size != 2 || b.Dir || b.ID == "" || b.SavedAt.IsZero() {
		t.Errorf("a file: %+v", b)
	}
	if d := page.Files[1]; d.Name != "dir" || !d.Dir {
		t.Errorf("a directory: %+v", d)
	}
	if got := names(t, s, x.ID, "/no/such/folder"); len(got) != 0 {
		t.Errorf("an unknown folder has %q", got)
	}
	if err := s.DeleteContextFile(t.Context(), x.ID, "/tmp/list/dir"); err != nil {
		t.Fatalf("DeleteContextFile of a directory: %v", err)
	}
	if got := names(t, s, x.ID, "tmp/list/"); !slices.Equal(got, []string{"a", "b", "dir2"}) {
		t.Errorf("after the deletion: %q", got)
	}
	if err := s.DeleteContextFile(t.Context(), x.ID, "/tmp/list/dir"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("deleting what is gone: %v, want NotFound", err)
	}
	if _, err := s.DownloadURL(t.Context(), x.ID, "/tmp/list/none"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("DownloadURL of what is not there: %v, want NotFound", err)
	}
	if u, err := s.DownloadURL(t.Context(), x.ID, "/tmp/list/a"); err != nil || u.URL == "" || u.Expires.IsZero() {
		t.Errorf("DownloadURL: %+v, %v", u, err)
	}
}

func contextTransfer(t *testing.T, s, _ agentbay.Service) {
	one, two := create(t, s, agentbay.SessionSpec{}), create(t, s, agentbay.SessionSpec{})
	m, err := s.TransferContext(t.Context(), one.ID)
	if err != nil || m.Context == "" || m.Path == "" {
		t.Fatalf("TransferContext: %+v, %v", m, err)
	}
	again, err := s.TransferContext(t.Context(), one.ID)
	if err != nil || again.Context != m.Context {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if theirs, err := s.TransferContext(t.Context(), two.ID); err != nil || theirs.Context == m.Context {
		t.Errorf("another session's: %+v, %v", theirs, err)
	}
	write(t, s, one.ID, "/tmp/any/place/up.txt", "carried")
	mustSync(t, s, agentbay.SyncRequest{Session: one.ID, Context: m.Context, Path: "/tmp/any/place/up.txt", Mode: agentbay.Upload})
	if got := names(t, s, m.Context, "/tmp/any/place"); !slices.Equal(got, []string{"up.txt"}) {
		t.Errorf("kept: %q", got)
	}
	mustSync(t, s, agentbay.SyncRequest{Session: two.ID, Context: m.Context, Path: "/tmp/any/place/up.txt", Mode: agentbay.Download})
	if got := read(t, s, two.ID, "/tmp/any/place/up.txt"); got != "carried" {
		t.Errorf("in the other session: %q", got)
	}
	write(t, s, one.ID, "/tmp/any/place/up.txt", "changed since")
	mustSync(t, s, agentbay.SyncRequest{Session: one.ID, Context: m.Context, Path: "/tmp/any/", Mode: agentbay.Download})
	if got := read(t, s, one.ID, "/tmp/any/place/up.txt"); got != "changed since" {
		t.Errorf("a directory was brought in, and with it what the session had sent: %q", got)
	}
	missing := sync(t, s, agentbay.SyncRequest{Session: one.ID, Context: m.Context, Path: "/no/such/file", Mode: agentbay.Upload})
	if missing.State != agentbay.SyncFailed || !strings.Contains(missing.Error, "/no/such/file") {
		t.Errorf("a file that is not there: %+v", missing)
	}
	page, err := s.Contexts(t.Context(), agentbay.ContextQuery{Limit: 100})
	if err != nil || slices.ContainsFunc(page.Contexts, func(x agentbay.ContextInfo) bool { return x.ID == m.Context }) {
		t.Errorf("the hidden context is listed: %+v, %v", page, err)
	}
}

func contextTwoWriters(t *testing.T, s, _ agentbay.Service) {
	x := filled(t, s, "/tmp/both", map[string]string{"shared": "0"})
	one, two := mounted(t, s, at(x.ID, "/tmp/both")), mounted(t, s, at(x.ID, "/tmp/both"))
	write(t, s, one.ID, "/tmp/both/of-one", "1")
	write(t, s, one.ID, "/tmp/both/shared", "1")
	write(t, s, two.ID, "/tmp/both/of-two", "2")
	write(t, s, two.ID, "/tmp/both/shared", "2")
	end(t, s, two.ID)
	end(t, s, one.ID)
	three := mounted(t, s, at(x.ID, "/tmp/both"))
	for name, want := range map[string]string{"of-one": "1", "of-two": "2", "shared": "1"} {
		if got := read(t, s, three.ID, "/tmp/both/"+name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func contextBadSync(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	info := create(t, s, agentbay.SessionSpec{})
	for name, req := range map[string]agentbay.SyncRequest{
		"mode":                 {Mode: "sideways"},
		"path without context": {Path: "/tmp/a"},
		"path that leads out":  {Context: x.ID, Path: "/tmp/../a"},
	} {
		req.Session = info.ID
		if err := s.Sync(t.Context(), req); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if err := s.Sync(t.Context(), agentbay.SyncRequest{Session: info.ID, Context: x.ID}); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("a context that is not mounted: %v, want NotFound", err)
	}
	if err := s.Sync(t.Context(), agentbay.SyncRequest{Session: info.ID}); err != nil {
		t.Errorf("all of no mounts: %v", err)
	}
}

func contextBadTarget(t *testing.T, s, _ agentbay.Service) {
	x := newContext(t, s)
	info := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x.ID, "/proc/self")}})
	task := await(t, s, agentbay.SyncQuery{Session: info.ID, Context: x.ID})
	if task.State != agentbay.SyncFailed || !strings.Contains(task.Error, "/proc/self") {
		t.Errorf("task: %+v", task)
	}
	if out := shell(t, s, info.ID, "echo still"); out.Stdout != "still\n" {
		t.Errorf("the session: %+v", out)
	}
}

func contextDeletedWhileMounted(t *testing.T, s, _ agentbay.Service) {
	x := filled(t, s, "/tmp/brief", map[string]string{"a": "1"})
	info := mounted(t, s, at(x.ID, "/tmp/brief"))
	if err := s.DeleteContext(t.Context(), x.ID); err != nil {
		t.Fatalf("DeleteContext: %v", err)
	}
	if got := read(t, s, info.ID, "/tmp/brief/a"); got != "1" {
		t.Errorf("what was mounted: %q", got)
	}
	write(t, s, info.ID, "/tmp/brief/b", "2")
	end(t, s, info.ID)
	if _, err := s.Context(t.Context(), x.ID); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("the context came back: %v", fmt.Sprint(err))
	}
}
