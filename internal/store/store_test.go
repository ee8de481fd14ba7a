package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// both runs a test on a store in memory and on one in a file.
func both(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Run("memory", func(t *testing.T) { f(t, open(t, Memory)) })
	t.Run("file", func(t *testing.T) { f(t, open(t, t.TempDir())) })
}

func session(n int, key string, labels map[string]string) Session {
	return Session{
		SessionInfo: agentbay.SessionInfo{
			ID: agentbay.SessionID(fmt.Sprintf("session-%d", n)), Image: "code_latest", ImageDigest: "sha256:1",
			State: agentbay.Running, Isolation: "none", Labels: labels, IdleTimeout: time.Minute,
			CreatedAt: time.Unix(int64(n), 5), Token: "tok-x",
		},
		KeyID: key, Runtime: "fake", GuestToken: "tok-y", SDK: "sdk", ActiveAt: time.Unix(int64(n), 6),
	}
}

func TestSessionComesBackAsItWas(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		want := session(1, "ak-1", map[string]string{"a": "1", "ü": "\"%_"})
		must(t, s.AddSession(t.Context(), want))
		want.Held = true
		want.CreatedAt, want.ActiveAt = want.CreatedAt.UTC(), want.ActiveAt.UTC()
		got, err := s.Session(t.Context(), want.ID)
		must(t, err)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Session after AddSession:\n got %v\nwant %v", got, want)
		}
	})
}

func TestUnknownIsNotFound(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	_, session := s.Session(ctx, "session-none")
	_, key := s.Key(ctx, "none")
	_, hash := s.KeyByHash(ctx, "none")
	for name, err := range map[string]error{
		"Session": session, "Key": key, "KeyByHash": hash,
		"SetState": s.SetState(ctx, "none", agentbay.Running), "SetLabels": s.SetLabels(ctx, "none", nil),
		"DisableKey": s.DisableKey(ctx, "none", true), "DeleteKey": s.DeleteKey(ctx, "none"),
	} {
		if !errors.Is(err, agentbay.NotFound) {
			t.Errorf("%s of what is not there: %v, want NotFound", name, err)
		}
	}
}

func TestListingIsNewestFirstAndPages(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		for n := range 25 {
			must(t, s.AddSession(t.Context(), session(n, "ak-1", nil)))
		}
		must(t, s.AddSession(t.Context(), session(99, "ak-2", nil)))
		var seen []string
		q := agentbay.SessionQuery{}
		for pages := 1; ; pages++ {
			page, err := s.Sessions(t.Context(), "ak-1", q)
			must(t, err)
			if page.Total != 25 {
				t.Fatalf("Total = %d, want 25", page.Total)
			}
			for _, x := range page.Sessions {
				seen = append(seen, string(x.ID))
			}
			if q.Token = page.Next; q.Token == "" {
				if pages != 3 {
					t.Errorf("%d pages, want 3", pages)
				}
				break
			}
		}
		if len(seen) != 25 || seen[0] != "session-24" || seen[24] != "session-0" {
			t.Errorf("listed %v", seen)
		}
	})
}

func TestPageBeyondTheEndIsEmpty(t *testing.T) {
	s := open(t, Memory)
	must(t, s.AddSession(t.Context(), session(1, "ak-1", nil)))
	page, err := s.Sessions(t.Context(), "ak-1", agentbay.SessionQuery{Token: token(1000)})
	if err != nil || len(page.Sessions) != 0 || page.Next != "" || page.Total != 1 {
		t.Errorf("page beyond the end: %+v, %v", page, err)
	}
}

func TestFiltersMustAllMatch(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddSession(ctx, session(1, "ak-1", map[string]string{"env": "prod", "team": "a"})))
	must(t, s.AddSession(ctx, session(2, "ak-1", map[string]string{"env": "prod", "team": "b"})))
	must(t, s.AddSession(ctx, session(3, "ak-1", map[string]string{"env": "test", "team": "a"})))
	must(t, s.Finish(ctx, "session-3", "deleted", time.Unix(9, 0)))
	for _, tc := range []struct {
		name string
		q    agentbay.SessionQuery
		want int
	}{
		{"no filter", agentbay.SessionQuery{}, 2},
		{"one label", agentbay.SessionQuery{Labels: map[string]string{"env": "prod"}}, 2},
		{"two labels", agentbay.SessionQuery{Labels: map[string]string{"env": "prod", "team": "b"}}, 1},
		{"other case", agentbay.SessionQuery{Labels: map[string]string{"env": "Prod"}}, 0},
		{"unknown label", agentbay.SessionQuery{Labels: map[string]string{"none": "x"}}, 0},
		{"running", agentbay.SessionQuery{State: agentbay.Running}, 2},
		{"finished", agentbay.SessionQuery{State: agentbay.Finished}, 1},
	} {
		page, err := s.Sessions(ctx, "ak-1", tc.q)
		if err != nil || len(page.Sessions) != tc.want || page.Total != tc.want {
			t.Errorf("%s: %+v, %v; want %d", tc.name, page, err, tc.want)
		}
	}
	must(t, s.SetLabels(ctx, "session-1", map[string]string{"env": "new"}))
	if page, _ := s.Sessions(ctx, "ak-1", agentbay.SessionQuery{Labels: map[string]string{"env": "prod"}}); page.Total != 1 {
		t.Errorf("after SetLabels the old label finds %d, want 1", page.Total)
	}
}

func TestFinishedStaysAsItEnded(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddSession(ctx, session(1, "ak-1", nil)))
	must(t, s.Finish(ctx, "session-1", "out of memory", time.Unix(9, 0)))
	must(t, s.Finish(ctx, "session-1", "deleted", time.Unix(10, 0)))
	must(t, s.Deleting(ctx, "session-1", "idle"))
	if err := s.SetState(ctx, "session-1", agentbay.Running); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("SetState after Finish: %v, want NotFound", err)
	}
	x, err := s.Session(ctx, "session-1")
	must(t, err)
	if x.State != agentbay.Finished || x.EndReason != "out of memory" || !x.EndedAt.Equal(time.Unix(9, 0)) {
		t.Errorf("finished twice: %s %q at %v", x.State, x.EndReason, x.EndedAt)
	}
}

func TestGiveSucceedsOnce(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	x := session(1, "", nil)
	x.State = agentbay.Starting
	must(t, s.AddSession(ctx, x))
	x.KeyID, x.State, x.Labels = "ak-1", agentbay.Running, map[string]string{"a": "b"}
	must(t, s.Give(ctx, x))
	x.KeyID = "ak-2"
	if err := s.Give(ctx, x); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("second Give: %v, want Conflict", err)
	}
	page, err := s.Sessions(ctx, "ak-1", agentbay.SessionQuery{Labels: map[string]string{"a": "b"}})
	if err != nil || len(page.Sessions) != 1 {
		t.Errorf("given session is not listed by its label: %v, %v", page, err)
	}
}

func TestForgetEndedKeepsWhatIsHeld(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	for n := range 3 {
		must(t, s.AddSession(ctx, session(n, "ak-1", map[string]string{"a": "b"})))
		must(t, s.Finish(ctx, agentbay.SessionID(fmt.Sprintf("session-%d", n)), "deleted", time.Unix(int64(10*n), 1)))
	}
	must(t, s.LetGo(ctx, "session-0", "x", time.Unix(99, 0)))
	must(t, s.LetGo(ctx, "session-2", "x", time.Unix(99, 0)))
	if n, err := s.ForgetEnded(ctx, time.Unix(15, 0)); n != 1 || err != nil {
		t.Errorf("ForgetEnded: %d, %v; want 1", n, err)
	}
	held, err := s.Held(ctx)
	if err != nil || len(held) != 1 || held[0].ID != "session-1" {
		t.Errorf("Held: %v, %v; want session-1", held, err)
	}
}

func TestKeyNamesAreUnique(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		must(t, s.AddKey(ctx, Key{ID: "ak-1", Name: "one", Hash: "h1", CreatedAt: time.Unix(1, 0)}))
		if err := s.AddKey(ctx, Key{ID: "ak-2", Name: "one", Hash: "h2"}); !errors.Is(err, agentbay.Conflict) {
			t.Errorf("second key of one name: %v, want Conflict", err)
		}
		must(t, s.AddKey(ctx, Key{ID: "ak-2", Name: "ak-1", Hash: "h2", CreatedAt: time.Unix(2, 0)}))
		if k, err := s.Key(ctx, "ak-1"); err != nil || k.Name != "one" {
			t.Errorf("an ID must win over a name: %+v, %v", k, err)
		}
	})
}

// A child that a killed server was about to start has the lock for a moment.
func TestServerWaitsForTheLockOfAKilledOne(t *testing.T) {
	dir := t.TempDir()
	first, err := Serve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	time.AfterFunc(100*time.Millisecond, func() { closed <- first.Close() })
	second, err := Serve(t.Context(), dir)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatalf("Serve while the lock is let go: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestOtherProcessSeesKeyChangesAtOnce(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	server, cli := open(t, dir), open(t, dir)
	must(t, cli.AddKey(ctx, Key{ID: "ak-1", Name: "one", Hash: "h1"}))
	if k, err := server.KeyByHash(ctx, "h1"); err != nil || k.Disabled {
		t.Fatalf("new key: %+v, %v", k, err)
	}
	must(t, cli.DisableKey(ctx, "ak-1", true))
	if k, err := server.KeyByHash(ctx, "h1"); err != nil || !k.Disabled {
		t.Fatalf("disabled key: %+v, %v", k, err)
	}
	must(t, cli.DeleteKey(ctx, "ak-1"))
	if _, err := server.KeyByHash(ctx, "h1"); !errors.Is(err, agentbay.NotFound) {
		t.Fatalf("deleted key: %v, want NotFound", err)
	}
}

func TestOneServerADirectory(t *testing.T) {
	dir := t.TempDir()
	first, err := Serve(t.Context(), dir)
	must(t, err)
	if _, err := Serve(t.Context(), dir); !errors.Is(err, agentbay.Conflict) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Serve: %v, want Conflict naming the directory", err)
	}
	open(t, dir)
	must(t, first.Close())
	again, err := Serve(t.Context(), dir)
	must(t, err)
	must(t, again.Close())
}

func TestStoreIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd ?#% name")
	s := open(t, dir)
	must(t, s.AddKey(t.Context(), Key{ID: "ak-1", Name: "one", Hash: "h1"}))
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) == 0 {
		t.Fatal("the store is not in its directory")
	}
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
}

func TestNewerStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := s.exec(t.Context(), "PRAGMA user_version = 999")
	must(t, err)
	if _, err := Open(t.Context(), dir); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("Open of a newer store: %v, want Conflict", err)
	}
}

func TestBrokenStoreIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	file, text := filepath.Join(dir, fileName), []byte(strings.Repeat("not a database\n", 100))
	must(t, os.WriteFile(file, text, 0o600))
	if _, err := Serve(t.Context(), dir); agentbay.CodeOf(err) != agentbay.Internal || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("Serve of a broken store: %v, want Internal, saying why", err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(text) {
		t.Errorf("the broken store was changed, %v", err)
	}
	must(t, os.Remove(file))
	s, err := Serve(t.Context(), dir)
	must(t, err)
	must(t, s.Close())
}

// Two processes write at the same time; neither is told to try again.
func TestProcessesWriteBesideEachOther(t *testing.T) {
	dir := t.TempDir()
	var both sync.WaitGroup
	for name, s := range map[string]*Store{"server": open(t, dir), "cli": open(t, dir)} {
		for n := range 50 {
			both.Go(func() {
				if err := s.AddKey(t.Context(), Key{ID: fmt.Sprint(name, n), Name: fmt.Sprint(name, n), Hash: fmt.Sprint(name, n)}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	both.Wait()
	if keys, err := open(t, dir).Keys(t.Context()); err != nil || len(keys) != 100 {
		t.Errorf("%d keys, %v; want 100", len(keys), err)
	}
}

// Calls are cancelled all the time, and a store in memory is one connection.
func TestCancelledCallLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, s *Store) {
		must(t, s.AddKey(t.Context(), Key{ID: "ak-1", Name: "one", Hash: "h1"}))
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			s.KeyByHash(cancelled, "h1")
			s.AddSession(cancelled, session(1, "ak-1", nil))
		}
		if _, err := s.KeyByHash(t.Context(), "h1"); err != nil {
			t.Errorf("after cancelled calls: %v", err)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add(token(10))
	f.Add("YWZ0ZXI6LTE")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := readToken(s)
		if err == nil && s != "" && token(n) != s {
			t.Errorf("readToken(%q) = %d, whose token is %q", s, n, token(n))
		}
		if n < 0 {
			t.Errorf("readToken(%q) = %d", s, n)
		}
	})
}

func BenchmarkKeyByHash(b *testing.B) {
	s := open(b, b.TempDir())
	for n := range 100 {
		must(b, s.AddKey(b.Context(), Key{ID: fmt.Sprint("ak-", n), Name: fmt.Sprint(n), Hash: fmt.Sprint("h", n)}))
	}
	for b.Loop() {
		if _, err := s.KeyByHash(b.Context(), "h50"); err != nil {
			b.Fatal(err)
		}
	}
}

// A bay remembers the sessions of a day, of which few are open.
func BenchmarkList(b *testing.B) {
	s := open(b, b.TempDir())
	for n := range 10_000 {
		must(b, s.AddSession(b.Context(), session(n, "ak-1", map[string]string{"n": fmt.Sprint(n), "all": "x"})))
		if n%50 != 0 {
			must(b, s.LetGo(b.Context(), agentbay.SessionID(fmt.Sprintf("session-%d", n)), "deleted", time.Unix(1, 0)))
		}
	}
	for name, q := range map[string]agentbay.SessionQuery{
		"all":     {},
		"running": {State: agentbay.Running},
		"label":   {Labels: map[string]string{"n": "1000", "all": "x"}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if page, err := s.Sessions(b.Context(), "ak-1", q); err != nil || page.Total == 0 {
					b.Fatal(page, err)
				}
			}
		})
	}
}
