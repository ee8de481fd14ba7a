package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

func newContext(n int, key string) Context {
	return Context{
		ContextInfo: agentbay.ContextInfo{
			ID: agentbay.ContextID(fmt.Sprintf("SdkCtx-%d", n)), Name: fmt.Sprintf("name %d", n), State: agentbay.ContextAvailable,
			CreatedAt: time.Unix(int64(n), 5).UTC(), UsedAt: time.Unix(int64(n), 6).UTC(), Files: 2, Bytes: 100,
		},
		KeyID: key,
	}
}

func commit(id agentbay.ContextID, from, to, snapshot string, at int64) Commit {
	return Commit{Context: id, Old: from, New: to, Files: at, Bytes: 10 * at, SnapshotID: snapshot, Reason: "put", At: time.Unix(at, 0)}
}

func mount(session, name string, of agentbay.ContextID, path string) Mount {
	return Mount{
		ContextMount: agentbay.ContextMount{Context: of, Path: path, Policy: agentbay.DefaultSyncPolicy, BoundAt: time.Unix(7, 0).UTC()},
		Session:      agentbay.SessionID(session), MountName: name, Root: "aa", Checkout: "tree-1",
	}
}

func TestContextComesBackAsItWas(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		want := newContext(1, "ak-1")
		want.Name, want.Root = "ü \"%_", "aa"
		must(t, s.AddContext(t.Context(), want))
		byID, err := s.Context(t.Context(), want.ID)
		must(t, err)
		byName, err := s.ContextNamed(t.Context(), "ak-1", want.Name)
		must(t, err)
		if byID != want || byName != want {
			t.Errorf("after AddContext:\n  by ID %v\nby name %v\n   want %v", byID, byName, want)
		}
	})
}

func TestUnknownContextIsNotFound(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
	_, byID := s.Context(ctx, "SdkCtx-none")
	_, byName := s.ContextNamed(ctx, "ak-2", "name 1")
	_, snapshot := s.Snapshot(ctx, "SdkCtx-1", "snap-none")
	for name, err := range map[string]error{
		"Context": byID, "ContextNamed of another key": byName, "Snapshot": snapshot,
		"RenameContext":   s.RenameContext(ctx, "none", "x"),
		"SetContextState": s.SetContextState(ctx, "none", agentbay.ContextClearing),
		"DeleteContext":   s.DeleteContext(ctx, "none"),
		"Commit":          s.Commit(ctx, commit("none", "", "aa", "snap-1", 1)),
		"SetRecycle":      s.SetRecycle(ctx, "none", "", []Recycle{{Path: "a", Days: 1}}),
		"SetMount":        s.SetMount(ctx, "none", "c0", "", ""),
	} {
		if !errors.Is(err, agentbay.NotFound) {
			t.Errorf("%s of what is not there: %v, want NotFound", name, err)
		}
	}
}

func TestContextNamesAreUniqueForAKey(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		one, other, theirs := newContext(1, "ak-1"), newContext(2, "ak-1"), newContext(3, "ak-2")
		must(t, s.AddContext(ctx, one))
		must(t, s.AddContext(ctx, other))
		theirs.Name = one.Name
		must(t, s.AddContext(ctx, theirs))
		again := newContext(4, "ak-1")
		again.Name = one.Name
		if err := s.AddContext(ctx, again); !errors.Is(err, agentbay.Conflict) || !strings.Contains(err.Error(), one.Name) {
			t.Errorf("second context of one name: %v, want Conflict naming it", err)
		}
		if err := s.RenameContext(ctx, other.ID, one.Name); !errors.Is(err, agentbay.Conflict) {
			t.Errorf("rename to a name that is taken: %v, want Conflict", err)
		}
		must(t, s.RenameContext(ctx, one.ID, one.Name))
		must(t, s.RenameContext(ctx, one.ID, "new"))
		must(t, s.RenameContext(ctx, other.ID, one.Name))
	})
}

func TestHiddenContextsAreNotSeenByName(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	for n := range 2 {
		c := newContext(n, "ak-1")
		c.Name, c.Hidden = "transfer", "transfer"
		must(t, s.AddContext(ctx, c))
	}
	page, err := s.Contexts(ctx, "ak-1", agentbay.ContextQuery{})
	if err != nil || page.Total != 0 || len(page.Contexts) != 0 {
		t.Errorf("hidden contexts are listed: %+v, %v", page, err)
	}
	if _, err := s.ContextNamed(ctx, "ak-1", "transfer"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("hidden context by name: %v, want NotFound", err)
	}
	if c, err := s.Context(ctx, "SdkCtx-1"); err != nil || c.Hidden != "transfer" {
		t.Errorf("hidden context by ID: %+v, %v", c, err)
	}
	if n, err := s.ContextBytes(ctx, "ak-1"); err != nil || n != 200 {
		t.Errorf("ContextBytes = %d, %v; hidden ones count, want 200", n, err)
	}
}

func TestContextsAreListedNewestFirstInPages(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		for n := range 25 {
			must(t, s.AddContext(t.Context(), newContext(n, "ak-1")))
		}
		must(t, s.AddContext(t.Context(), newContext(99, "ak-2")))
		var seen []string
		for q, pages := (agentbay.ContextQuery{}), 1; ; pages++ {
			page, err := s.Contexts(t.Context(), "ak-1", q)
			must(t, err)
			if page.Total != 25 {
				t.Fatalf("Total = %d, want 25", page.Total)
			}
			for _, c := range page.Contexts {
				seen = append(seen, string(c.ID))
			}
			if q.Token = page.Next; q.Token == "" {
				if pages != 3 {
					t.Errorf("%d pages, want 3", pages)
				}
				break
			}
		}
		if len(seen) != 25 || seen[0] != "SdkCtx-24" || seen[24] != "SdkCtx-0" {
			t.Errorf("listed %v", seen)
		}
		if _, err := s.Contexts(t.Context(), "ak-1", agentbay.ContextQuery{Token: "x"}); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("a made-up token: %v, want Invalid", err)
		}
	})
}

func TestContextsOfASessionAreThoseItMounts(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
	for n := range 3 {
		must(t, s.AddContext(ctx, newContext(n, "ak-1")))
	}
	must(t, s.AddMount(ctx, mount("session-1", "c0", "SdkCtx-2", "/a")))
	must(t, s.AddMount(ctx, mount("session-1", "c1", "SdkCtx-2", "/b")))
	page, err := s.Contexts(ctx, "ak-1", agentbay.ContextQuery{Session: "session-1"})
	if err != nil || page.Total != 1 || len(page.Contexts) != 1 || page.Contexts[0].ID != "SdkCtx-2" {
		t.Errorf("contexts of session-1: %+v, %v; want SdkCtx-2", page, err)
	}
}

// A sweep looks at each context and changes it.
func TestContextsCanBeChangedWhileTheyAreYielded(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		const n = maxLimit + 5
		must(t, s.db.Tx(t.Context(), func(tx *sql.Tx) error {
			for i := range n {
				_, err := tx.Exec("INSERT INTO contexts ("+contextColumns+") VALUES (?, ?, ?, '', 'available', 1, 1, '', 0, 0)", i, "ak-1", fmt.Sprint(i))
				must(t, err)
			}
			return nil
		}))
		var seen int
		for c, err := range s.EachContext(t.Context()) {
			must(t, err)
			if c.Name != fmt.Sprint(seen) {
				t.Fatalf("context %q at place %d", c.Name, seen)
			}
			if seen++; seen%100 == 0 {
				must(t, s.DeleteContext(t.Context(), c.ID))
			}
		}
		if seen != n {
			t.Errorf("yielded %d, want %d", seen, n)
		}
	})
}

func TestEachContextStopsWhenCancelled(t *testing.T) {
	s := open(t, Memory)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for c, err := range s.EachContext(cancelled) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("yielded %v, %v after cancel", c, err)
		}
	}
}

func TestCommitSwitchesOnlyFromTheRootItKnows(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		must(t, s.Commit(ctx, commit("SdkCtx-1", "", "aa", "snap-1", 20)))
		if err := s.Commit(ctx, commit("SdkCtx-1", "", "bb", "snap-2", 30)); !errors.Is(err, agentbay.Conflict) {
			t.Errorf("Commit from a root that was switched: %v, want Conflict", err)
		}
		c, err := s.Context(ctx, "SdkCtx-1")
		must(t, err)
		if c.Root != "aa" || c.Files != 20 || c.Bytes != 200 || !c.UsedAt.Equal(time.Unix(20, 0)) {
			t.Errorf("after Commit: %+v", c)
		}
		if all, err := s.Snapshots(ctx, "SdkCtx-1"); err != nil || len(all) != 1 || all[0].ID != "snap-1" {
			t.Errorf("a refused Commit left %v, %v; want snap-1", all, err)
		}
	})
}

func TestCommitSettlesItsMount(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
	must(t, s.AddMount(ctx, mount("session-1", "c0", "SdkCtx-1", "/a")))
	must(t, s.AddMount(ctx, mount("session-1", "c1", "SdkCtx-1", "/b")))
	x := commit("SdkCtx-1", "zz", "aa", "snap-1", 20)
	x.SessionID, x.Settles = "session-1", "c0"
	if err := s.Commit(ctx, x); !errors.Is(err, agentbay.Conflict) {
		t.Fatalf("Commit from another root: %v", err)
	}
	if pending, err := s.PendingMounts(ctx); err != nil || len(pending) != 2 {
		t.Errorf("a refused Commit left %d pending, %v; want 2", len(pending), err)
	}
	x.Old = ""
	must(t, s.Commit(ctx, x))
	pending, err := s.PendingMounts(ctx)
	if err != nil || len(pending) != 1 || pending[0].MountName != "c1" {
		t.Errorf("pending after Commit: %v, %v; want c1", pending, err)
	}
}

func TestSnapshotsAreListedNewestFirst(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		must(t, s.Commit(ctx, commit("SdkCtx-1", "", "aa", "snap-1", 1)))
		must(t, s.Commit(ctx, commit("SdkCtx-1", "aa", "bb", "snap-2", 2)))
		must(t, s.Commit(ctx, commit("SdkCtx-1", "bb", "aa", "snap-3", 3)))
		all, err := s.Snapshots(ctx, "SdkCtx-1")
		must(t, err)
		var got []string
		for _, x := range all {
			got = append(got, fmt.Sprintf("%s %s %d files %d bytes by %s at %d current=%t", x.ID, x.Root, x.Files, x.Bytes, x.Reason, x.At.Unix(), x.Current))
		}
		want := []string{
			"snap-3 aa 3 files 30 bytes by put at 3 current=true",
			"snap-2 bb 2 files 20 bytes by put at 2 current=false",
			"snap-1 aa 1 files 10 bytes by put at 1 current=false",
		}
		if !slices.Equal(got, want) {
			t.Errorf("Snapshots:\n got %q\nwant %q", got, want)
		}
		if one, err := s.Snapshot(ctx, "SdkCtx-1", "snap-3"); err != nil || one != all[0] {
			t.Errorf("Snapshot: %+v, %v; want %+v", one, err, all[0])
		}
	})
}

// A directory that is put file by file is one state, not thousands.
func TestCommitsInARowAreOneSnapshot(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
	root := ""
	for n, x := range []struct {
		at, since int64
		reason    string
	}{
		{10, 10, "put"}, {11, 10, "put"}, {12, 10, "put"}, {13, 10, "delete"}, {14, 10, "put"}, {20, 20, "put"}, {21, 0, "put"}, {22, 20, "put"},
	} {
		next := fmt.Sprint("root-", n)
		c := commit("SdkCtx-1", root, next, fmt.Sprint("snap-", x.at), x.at)
		c.Reason = x.reason
		if x.since > 0 {
			c.Since = time.Unix(x.since, 0)
		}
		must(t, s.Commit(ctx, c))
		root = next
	}
	all, err := s.Snapshots(ctx, "SdkCtx-1")
	must(t, err)
	var got []string
	for _, x := range all {
		got = append(got, x.ID)
	}
	if want := "snap-22 snap-20 snap-14 snap-13 snap-12"; strings.Join(got, " ") != want {
		t.Errorf("snapshots %v, want %s", got, want)
	}
}

func TestPruneKeepsTheNewAndTheCurrent(t *testing.T) {
	for _, tc := range []struct {
		name   string
		keep   int
		before int64
		want   string
	}{
		{"all are young and few", 10, 0, "snap-5 snap-4 snap-3 snap-2 snap-1"},
		{"too many", 2, 0, "snap-5 snap-4"},
		{"too old", 10, 3, "snap-5 snap-4 snap-3"},
		{"both", 2, 5, "snap-5"},
		{"all too old", 10, 100, "snap-5"},
		{"none wanted", 0, 0, "snap-5"},
	} {
		s, ctx := open(t, Memory), t.Context()
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		must(t, s.AddContext(ctx, newContext(2, "ak-1")))
		must(t, s.Commit(ctx, commit("SdkCtx-2", "", "zz", "other", 1)))
		for n := range 5 {
			must(t, s.Commit(ctx, commit("SdkCtx-1", strings.Repeat("a", n), strings.Repeat("a", n+1), fmt.Sprint("snap-", n+1), int64(n+1))))
		}
		n, err := s.PruneSnapshots(ctx, "SdkCtx-1", tc.keep, moment(tc.before*int64(time.Second)))
		must(t, err)
		var got []string
		all, err := s.Snapshots(ctx, "SdkCtx-1")
		must(t, err)
		for _, x := range all {
			got = append(got, x.ID)
		}
		if strings.Join(got, " ") != tc.want || int(n) != 5-len(got) {
			t.Errorf("%s: %v are left, %d said to be gone; want %s", tc.name, got, n, tc.want)
		}
		if rest, _ := s.Snapshots(ctx, "SdkCtx-2"); len(rest) != 1 {
			t.Errorf("%s: another context has %d snapshots, want 1", tc.name, len(rest))
		}
	}
}

// A collection removes what no root needs.
func TestAllRootsMissesNone(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
		must(t, s.AddSession(ctx, session(2, "ak-2", nil)))
		for n, key := range []string{"ak-1", "ak-1", "ak-2"} {
			must(t, s.AddContext(ctx, newContext(n, key)))
		}
		must(t, s.Commit(ctx, commit("SdkCtx-0", "", "old", "snap-1", 1)))
		must(t, s.Commit(ctx, commit("SdkCtx-0", "old", "head", "snap-2", 2)))
		must(t, s.Commit(ctx, commit("SdkCtx-2", "", "theirs", "snap-3", 2)))
		for i, id := range []agentbay.SessionID{"session-1", "session-2"} {
			m := mount(string(id), "c0", "SdkCtx-1", "/a")
			m.Root = []string{"mounted", "mounted by them"}[i]
			must(t, s.AddMount(ctx, m))
		}
		must(t, s.DeleteContext(ctx, "SdkCtx-1"))
		var got []string
		for root, err := range s.AllRoots(ctx, "ak-1") {
			must(t, err)
			got = append(got, root)
			must(t, s.TouchContext(ctx, "SdkCtx-0", time.Unix(9, 0)))
		}
		slices.Sort(got)
		if want := []string{"head", "mounted", "old"}; !slices.Equal(got, want) {
			t.Errorf("AllRoots = %q, want %q", got, want)
		}
	})
}

func TestDeletedContextLeavesOnlyItsMounts(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		must(t, s.Commit(ctx, commit("SdkCtx-1", "", "aa", "snap-1", 1)))
		must(t, s.SetRecycle(ctx, "SdkCtx-1", "", []Recycle{{Path: "a", Days: 1}}))
		must(t, s.AddMount(ctx, mount("session-1", "c0", "SdkCtx-1", "/a")))
		must(t, s.DeleteContext(ctx, "SdkCtx-1"))
		snapshots, err := s.Snapshots(ctx, "SdkCtx-1")
		must(t, err)
		rules, err := s.RecycleRules(ctx)
		must(t, err)
		pending, err := s.PendingMounts(ctx)
		must(t, err)
		if len(snapshots)+len(rules)+len(pending) != 0 {
			t.Errorf("left: snapshots %v, rules %v, pending mounts %v", snapshots, rules, pending)
		}
		if mounts, err := s.Mounts(ctx, "session-1"); err != nil || len(mounts) != 1 || !mounts[0].Gone {
			t.Errorf("mounts of the session: %+v, %v; want one whose context is gone", mounts, err)
		}
	})
}

// What is left tells a sweep whose data may be removed, also if the key had no
// contexts any more.
func TestContextsGoWithTheirKey(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	for n, key := range []string{"ak-1", "ak-1", "ak-2"} {
		must(t, s.AddContext(ctx, newContext(n, key)))
	}
	hidden := newContext(9, "ak-1")
	hidden.Hidden = "transfer"
	must(t, s.AddContext(ctx, hidden))
	must(t, s.Commit(ctx, commit("SdkCtx-1", "", "aa", "snap-1", 1)))
	for _, id := range []string{"ak-1", "ak-3"} {
		must(t, s.AddKey(ctx, Key{ID: id, Name: id, Hash: id}))
		must(t, s.DeleteKey(ctx, id))
	}
	left := map[string][]string{}
	for c, err := range s.EachContext(ctx) {
		must(t, err)
		left[c.KeyID] = append(left[c.KeyID], string(c.ID))
	}
	if want := "map[ak-1:[deleted-ak-1] ak-2:[SdkCtx-2] ak-3:[deleted-ak-3]]"; fmt.Sprint(left) != want {
		t.Errorf("left: %v, want %s", left, want)
	}
	for root, err := range s.AllRoots(ctx, "ak-1") {
		t.Errorf("the deleted key needs %q, %v", root, err)
	}
}

func TestMountComesBackAsItWas(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		want := mount("session-1", "c0", "SdkCtx-1", "/tmp/ü")
		want.Policy.WhiteList = []agentbay.WhiteList{{Path: "a", Exclude: []string{"b"}}}
		want.Policy.Recycle = agentbay.RecyclePolicy{Days: 3, Paths: []string{""}}
		must(t, s.AddMount(ctx, want))
		must(t, s.SetMount(ctx, "session-1", "c0", "bb", "tree-2"))
		want.Name, want.Pending, want.Root, want.Checkout = "name 1", true, "bb", "tree-2"
		for name, list := range map[string]func() ([]Mount, error){
			"Mounts":          func() ([]Mount, error) { return s.Mounts(ctx, "session-1") },
			"MountsOfContext": func() ([]Mount, error) { return s.MountsOfContext(ctx, "SdkCtx-1") },
			"PendingMounts":   func() ([]Mount, error) { return s.PendingMounts(ctx) },
		} {
			if got, err := list(); err != nil || len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, want)
			}
		}
		must(t, s.SettleMount(ctx, "session-1", "c0"))
		if pending, err := s.PendingMounts(ctx); err != nil || len(pending) != 0 {
			t.Errorf("pending after SettleMount: %v, %v", pending, err)
		}
	})
}

func TestAPathIsBoundOnce(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	for n := range 2 {
		must(t, s.AddSession(ctx, session(n, "ak-1", nil)))
	}
	must(t, s.AddMount(ctx, mount("session-0", "c0", "SdkCtx-1", "/a")))
	err := s.AddMount(ctx, mount("session-0", "c1", "SdkCtx-2", "/a"))
	if !errors.Is(err, agentbay.Conflict) || !strings.HasPrefix(agentbay.MessageOf(err), "PathAlreadyBound") {
		t.Errorf("second mount at one path: %v, want Conflict that begins with PathAlreadyBound", err)
	}
	must(t, s.AddMount(ctx, mount("session-1", "c0", "SdkCtx-1", "/a")))
	must(t, s.DropMount(ctx, "session-0", "c0"))
	must(t, s.AddMount(ctx, mount("session-0", "c1", "SdkCtx-2", "/a")))
}

func TestMountsGoWithTheirSession(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for n := range 3 {
			must(t, s.AddSession(ctx, session(n, "ak-1", nil)))
			must(t, s.AddMount(ctx, mount(fmt.Sprint("session-", n), "c0", "SdkCtx-1", "/a")))
		}
		must(t, s.LetGo(ctx, "session-0", "deleted", time.Unix(1, 0)))
		must(t, s.Forget(ctx, "session-1"))
		if left, err := s.MountsOfContext(ctx, "SdkCtx-1"); err != nil || len(left) != 1 || left[0].Session != "session-2" {
			t.Errorf("mounts left: %v, %v; want that of session-2", left, err)
		}
	})
}

func TestRecycleRulesBelowAPrefixAreReplaced(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddContext(ctx, newContext(1, "ak-1")))
		must(t, s.AddContext(ctx, newContext(2, "ak-1")))
		must(t, s.SetRecycle(ctx, "SdkCtx-2", "", []Recycle{{Path: "a/b", Days: 9}}))
		must(t, s.SetRecycle(ctx, "SdkCtx-1", "", []Recycle{{Path: "a", Days: 1}, {Path: "a/b", Days: 3}, {Path: "a.b", Days: 5}, {Path: "a0", Days: 10}, {Path: "a/b", Days: 4}}))
		for _, tc := range []struct {
			prefix string
			rules  []Recycle
			want   string
		}{
			{"none", nil, "a=1 a.b=5 a/b=4 a0=10"},
			{"a/b", []Recycle{{Path: "a/b/c", Days: 15}}, "a=1 a.b=5 a/b/c=15 a0=10"},
			{"a", []Recycle{{Path: "a", Days: 30}}, "a=30 a.b=5 a0=10"},
			{"", nil, ""},
		} {
			must(t, s.SetRecycle(ctx, "SdkCtx-1", tc.prefix, tc.rules))
			rules, err := s.RecycleRules(ctx)
			must(t, err)
			var got []string
			for _, r := range rules {
				if r.Context == "SdkCtx-1" {
					got = append(got, fmt.Sprintf("%s=%d", r.Path, r.Days))
				}
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("after SetRecycle(%q, %v): %v, want %s", tc.prefix, tc.rules, got, tc.want)
			}
			if len(rules) != len(got)+1 {
				t.Errorf("after SetRecycle(%q): the other context has %d rules, want 1", tc.prefix, len(rules)-len(got))
			}
		}
	})
}

func TestSecretStaysTheSame(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	first, err := open(t, dir).Secret(ctx, "objects")
	must(t, err)
	again, err := open(t, dir).Secret(ctx, "objects")
	must(t, err)
	other, err := open(t, dir).Secret(ctx, "other")
	must(t, err)
	if len(first) != 32 || string(first) != string(again) || string(first) == string(other) {
		t.Errorf("secrets %x, again %x, of another name %x", first, again, other)
	}
}

func TestKeyKeepsItsQuotas(t *testing.T) {
	s := open(t, Memory)
	want := Key{ID: "ak-1", Name: "one", Hash: "h1", MaxSessions: 3, MaxStorage: 1 << 40, MaxTokens: 1 << 41, CreatedAt: time.Unix(1, 0).UTC()}
	must(t, s.AddKey(t.Context(), want))
	if got, err := s.Key(t.Context(), "one"); err != nil || got != want {
		t.Errorf("Key: %+v, %v; want %+v", got, err, want)
	}
}

// A store that sessions were kept in gains contexts.
func TestOldStoreIsBroughtUpToDate(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	for _, table := range []string{"key_models", "model_usage", "recordings", "control_events", "incoming", "syncs", "recycle", "mounts", "snapshots", "contexts", "secrets"} {
		_, err := s.exec(ctx, "DROP TABLE "+table)
		must(t, err)
	}
	for _, column := range []string{"api_keys DROP COLUMN max_storage", "api_keys DROP COLUMN max_tokens", "sessions DROP COLUMN view_round", "sessions DROP COLUMN waits"} {
		_, err := s.exec(ctx, "ALTER TABLE "+column)
		must(t, err)
	}
	_, err := s.exec(ctx, "INSERT INTO api_keys VALUES ('ak-1', 'one', 'h1', 'v', 2, 1, 1, 0)")
	must(t, err)
	_, err = s.exec(ctx, "PRAGMA user_version = 1")
	must(t, err)
	s = open(t, dir)
	if k, err := s.Key(ctx, "one"); err != nil || k.MaxSessions != 2 || k.MaxStorage != 0 {
		t.Errorf("key of an old store: %+v, %v", k, err)
	}
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
}

func BenchmarkCommit(b *testing.B) {
	s := open(b, b.TempDir())
	must(b, s.AddContext(b.Context(), newContext(1, "ak-1")))
	last, n := "", 0
	for b.Loop() {
		n++
		next := fmt.Sprint(n)
		must(b, s.Commit(b.Context(), commit("SdkCtx-1", last, next, next, 1)))
		last = next
	}
}
