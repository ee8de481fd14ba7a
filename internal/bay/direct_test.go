package bay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/s3"
	"github.com/agentbay/agentbay/internal/blob/s3/s3test"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
)

// bucket opens the bucket of a server.
func bucket(t testing.TB, server *s3test.Server) *s3.Store {
	t.Helper()
	s, err := s3.Open(server.Options)
	must(t, err)
	return s
}

// directly has a bay keep its contexts in a bucket that clients reach.
func directly(s *s3.Store) func(*baytest.Bay) {
	return func(b *baytest.Bay) { b.Data.Blobs, b.Data.Direct = s, s }
}

// send makes a request as a client does that knows nothing but a URL.
func send(t testing.TB, method, url, part, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", "text/plain") // which no signature knows of
	if part != "" {
		req.Header.Set("Range", part)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text)
}

// upload puts a file by the URL that a service gives out.
func upload(t testing.TB, s agentbay.Service, id agentbay.ContextID, path, text string) agentbay.FileURL {
	t.Helper()
	u, err := s.UploadURL(t.Context(), id, path)
	must(t, err)
	if code, body := send(t, http.MethodPut, u.URL, "", text); code != http.StatusOK {
		t.Fatalf("PUT of %s: %d %s", path, code, body)
	}
	return u
}

// named lists the blobs that have a part in their names.
func named(t testing.TB, s blob.Store, part string) (names []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "") {
		must(t, err)
		if strings.Contains(info.Name, part) {
			names = append(names, info.Name)
		}
	}
	return names
}

func TestFilesTravelPastTheBay(t *testing.T) {
	server := s3test.Start(t)
	blobs := bucket(t, server)
	b := baytest.New(t, directly(blobs))
	s := b.Service(t, "mine")
	x := newContext(t, s)
	u := upload(t, s, x, "/tmp/a", "0123456789")
	if !strings.HasPrefix(u.URL, server.Endpoint) || !strings.Contains(u.URL, "X-Amz-Expires=3600&") || time.Until(u.Expires) > time.Hour {
		t.Errorf("upload URL: %+v, want one of %s for an hour", u, server.Endpoint)
	}
	list, err := s.ContextFiles(t.Context(), x, "/tmp", 0, 0)
	if err != nil || len(list.Files) != 1 || list.Files[0].Size != 10 {
		t.Errorf("files: %+v, %v", list, err)
	}
	d, err := s.DownloadURL(t.Context(), x, "/tmp/a")
	if err != nil || !strings.HasPrefix(d.URL, server.Endpoint) {
		t.Fatalf("download URL: %+v, %v, want one of %s", d, err, server.Endpoint)
	}
	if code, body := send(t, http.MethodGet, d.URL, "", ""); code != http.StatusOK || body != "0123456789" {
		t.Errorf("GET: %d %q", code, body)
	}
	if code, body := send(t, http.MethodGet, d.URL, "bytes=2-4", ""); code != http.StatusPartialContent || body != "234" {
		t.Errorf("GET of a part: %d %q", code, body)
	}
	if code, _ := send(t, http.MethodGet, u.URL, "", ""); code != http.StatusForbidden {
		t.Errorf("GET by the URL of a PUT: %d, want 403", code)
	}
	for _, text := range []string{"9876543210", "short"} { // the first of which looks the same from outside
		if code, _ := send(t, http.MethodPut, u.URL, "", text); code != http.StatusOK {
			t.Errorf("PUT once more: %d", code)
		}
		if got := content(t, b.Bay, x, "/tmp/a"); got != text {
			t.Errorf("put once more: %q, want %q", got, text)
		}
	}
	if left := named(t, blobs, "/incoming/"); len(left) > 0 {
		t.Errorf("blobs are left: %q", left)
	}
}

func TestURLsOfTheBucketExpire(t *testing.T) {
	blobs := bucket(t, s3test.Start(t))
	must(t, blobs.Put(t.Context(), "a", strings.NewReader("text"), 4))
	get, err := blobs.PresignGet(t.Context(), "a", time.Second)
	must(t, err)
	put, err := blobs.PresignPut(t.Context(), "a", time.Second)
	must(t, err)
	for method, url := range map[string]string{http.MethodGet: get, http.MethodPut: put} {
		for code := 0; code != http.StatusForbidden; {
			code, _ = send(t, method, url, "", "text")
		}
	}
}

// Each sees the file, and none lets an older one come after it.
func TestWhoeverLooksSeesWhatWasPut(t *testing.T) {
	server := s3test.Start(t)
	b := baytest.New(t, directly(bucket(t, server)))
	s := b.Service(t, "mine")
	session := create(t, s, agentbay.SessionSpec{})
	for look, saw := range map[string]func(agentbay.ContextID) (any, error){
		"Context": func(x agentbay.ContextID) (any, error) { c, err := s.Context(t.Context(), x); return c.Files, err },
		"ContextFiles": func(x agentbay.ContextID) (any, error) {
			p, err := s.ContextFiles(t.Context(), x, "/w", 0, 0)
			return p.Total, err
		},
		"DownloadURL": func(x agentbay.ContextID) (any, error) {
			_, err := s.DownloadURL(t.Context(), x, "/w/a")
			return 1, err
		},
		"Snapshots": func(x agentbay.ContextID) (any, error) { l, err := s.Snapshots(t.Context(), x); return len(l), err },
		"delete": func(x agentbay.ContextID) (any, error) {
			err := s.DeleteContextFile(t.Context(), x, "/w/a")
			list, _ := s.Snapshots(t.Context(), x)
			return len(list) - 1, err
		},
		"put": func(x agentbay.ContextID) (any, error) {
			put(t, b.Bay, x, "/w/a", "newer")
			_, _ = s.Context(t.Context(), x)
			return strings.Count(content(t, b.Bay, x, "/w/a"), "newer"), nil
		},
		"clear": func(x agentbay.ContextID) (any, error) {
			must(t, s.ClearContext(t.Context(), x))
			for {
				c, err := s.Context(t.Context(), x)
				if err != nil || c.State == agentbay.ContextAvailable {
					return c.Files + 1, err
				}
			}
		},
		"mount": func(x agentbay.ContextID) (any, error) {
			id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/w")}})
			text, err := agentbay.Use(s, id).FS(t.Context()).ReadFile("w/a")
			return strings.Count(string(text), "text"), err
		},
		"save": func(x agentbay.ContextID) (any, error) {
			must(t, s.DeleteContextFile(t.Context(), x, "/w/a"))
			id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/w")}})
			write(t, s, id, "/w/a", "newer")
			upload(t, s, x, "/w/a", "text")
			must(t, s.DeleteSession(t.Context(), id))
			ended(t, s, id)
			return strings.Count(content(t, b.Bay, x, "/w/a"), "newer"), nil
		},
		"sync": func(x agentbay.ContextID) (any, error) {
			must(t, s.DeleteContextFile(t.Context(), x, "/w/a"))
			id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/w")}})
			upload(t, s, x, "/w/a", "text")
			must(t, s.Sync(t.Context(), agentbay.SyncRequest{Session: id, Context: x, Path: "/w/a", Mode: agentbay.Download}))
			if task := lastTask(t, s, agentbay.SyncQuery{Session: id, Path: "/w/a"}); task.State != agentbay.SyncSuccess {
				return nil, errors.New(task.Error)
			}
			text, err := agentbay.Use(s, id).FS(t.Context()).ReadFile("w/a")
			return strings.Count(string(text), "text"), err
		},
		"transfer": func(agentbay.ContextID) (any, error) {
			m, err := s.TransferContext(t.Context(), session)
			must(t, err)
			upload(t, s, m.Context, "/home/a", "text")
			must(t, s.Sync(t.Context(), agentbay.SyncRequest{Session: session, Context: m.Context, Path: "/home/a", Mode: agentbay.Download}))
			if task := lastTask(t, s, agentbay.SyncQuery{Session: session}); task.State != agentbay.SyncSuccess {
				return nil, errors.New(task.Error)
			}
			text, err := agentbay.Use(s, session).FS(t.Context()).ReadFile("home/a")
			return strings.Count(string(text), "text"), err
		},
	} {
		t.Run(look, func(t *testing.T) {
			x := newContext(t, s)
			upload(t, s, x, "/w/a", "text")
			if got, err := saw(x); err != nil || fmt.Sprint(got) != "1" {
				t.Errorf("%v, %v, want 1", got, err)
			}
		})
	}
}

func TestWhatMayNotBePutIsRemoved(t *testing.T) {
	server := s3test.Start(t)
	blobs := bucket(t, server)
	b := baytest.New(t, directly(blobs), func(b *baytest.Bay) { b.Data.MaxPerKey = 1000 })
	s := b.Service(t, "mine")
	x := newContext(t, s)
	late, err := s.UploadURL(t.Context(), x, "/dir")
	must(t, err)
	put(t, b.Bay, x, "/dir/file", strings.Repeat("a", 600))
	upload(t, s, x, "/large", strings.Repeat("b", 600))
	send(t, http.MethodPut, late.URL, "", "in the way")
	list, err := s.ContextFiles(t.Context(), x, "/", 0, 0)
	if err != nil || len(list.Files) != 1 || !list.Files[0].Dir {
		t.Errorf("files: %+v, %v, want only what was there", list, err)
	}
	if left := named(t, blobs, "/incoming/"); len(left) > 0 {
		t.Errorf("blobs are left: %q", left)
	}
	upload(t, s, x, "/small", "there is room for it")
	put(t, b.Bay, x, "/rest", strings.Repeat("c", 380))
	for name, path := range map[string]string{"without room": "/a", "in the way": "/dir"} {
		if u, err := s.UploadURL(t.Context(), x, path); err != nil || !strings.HasPrefix(u.URL, "/objects/") {
			t.Errorf("URL of a file %s: %s, %v, want the bay's, which says so", name, u.URL, err)
		}
	}
}

func TestFullHostTakesInLater(t *testing.T) {
	server := s3test.Start(t)
	free := int64(10 << 30)
	b := baytest.New(t, directly(bucket(t, server)), func(b *baytest.Bay) {
		b.HighWater = bay.HighWater{FreeDisk: 1 << 30, Read: func() (bay.Room, error) { return bay.Room{Disk: free, Memory: 1 << 40}, nil }}
	})
	s := b.Service(t, "mine")
	x := newContext(t, s)
	upload(t, s, x, "/a", "text")
	free = 900 << 20
	if got := content(t, b.Bay, x, "/a"); !strings.Contains(got, "not found") {
		t.Errorf("on a full host: %q", got)
	}
	free = 10 << 30
	if got := content(t, b.Bay, x, "/a"); got != "text" {
		t.Errorf("with room again: %q", got)
	}
}

func TestWhatCannotBePutTogetherComesFromTheBay(t *testing.T) {
	server := s3test.Start(t)
	blobs := bucket(t, server)
	b := baytest.New(t, directly(blobs))
	s := b.Service(t, "mine")
	x := newContext(t, s)
	put(t, b.Bay, x, "/a", strings.Repeat("text", 1<<20))
	f := &blobtest.Faulty{Store: blobs}
	f.Set(blobtest.Fail(blobtest.Put, 1))
	next, _ := restart(t, b, b.Bay, f, blobs)
	if u, err := next.DownloadURL(t.Context(), x, "/a"); err != nil || !strings.HasPrefix(u.URL, "/objects/") {
		t.Errorf("URL of a file that cannot be put together: %s, %v, want the bay's", u.URL, err)
	}
	if left := named(t, blobs, "/outgoing/"); len(left) > 0 {
		t.Errorf("blobs are left: %q", left)
	}
}

// restart ends a bay, and begins another with what was kept.
func restart(t testing.TB, b *baytest.Bay, old *bay.Bay, blobs blob.Store, direct blob.Presigner) (agentbay.Service, *bay.Bay) {
	t.Helper()
	must(t, old.Shutdown(t.Context()))
	data := &bay.Data{Dir: b.Data.Dir, Blobs: blobs, Direct: direct, Chunks: b.Data.Chunks, Trees: b.Data.Trees}
	next := &bay.Bay{Store: b.Store, Images: b.Images, Runtimes: b.Runtimes, Data: data, Secret: b.Secret, Log: b.Log}
	must(t, next.Start(t.Context()))
	t.Cleanup(func() { next.Shutdown(context.WithoutCancel(t.Context())) })
	key, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	return next.As(key), next
}

func TestNothingPutIsLostAtAnyStep(t *testing.T) {
	server := s3test.Start(t)
	n := 0
	open := func(t *testing.T) blob.Store {
		n++
		o := server.Options
		o.Prefix = fmt.Sprint("run", n)
		s, err := s3.Open(o)
		must(t, err)
		return s
	}
	blobtest.Sweep(t, open, func(t *testing.T, f *blobtest.Faulty) {
		direct := f.Store.(*s3.Store)
		b := baytest.New(t, func(b *baytest.Bay) { b.Data.Blobs, b.Data.Direct = direct, direct })
		s := b.Service(t, "mine")
		x := newContext(t, s)
		faulty, old := restart(t, b, b.Bay, f, direct)
		upload(t, faulty, x, "/a", "text")
		_, _ = faulty.ContextFiles(t.Context(), x, "/", 0, 0)
		_, _ = faulty.DownloadURL(t.Context(), x, "/a")
		good, _ := restart(t, b, old, direct, direct)
		if list, err := good.ContextFiles(t.Context(), x, "/", 0, 0); err != nil || len(list.Files) != 1 || list.Files[0].Size != 4 {
			t.Errorf("files: %+v, %v", list, err)
		}
		if err := good.DeleteContextFile(t.Context(), x, "/a"); err != nil {
			t.Error(err)
		}
		if info, err := good.Context(t.Context(), x); err != nil || info.Files != 0 {
			t.Errorf("deleted, and came again: %+v, %v", info, err)
		}
		if left := named(t, direct, "/incoming/"); len(left) > 0 {
			t.Errorf("blobs are left: %q", left)
		}
	})
}

func TestWhatNobodyTookIsCollected(t *testing.T) {
	server := s3test.Start(t)
	blobs := bucket(t, server)
	var key store.Key
	var in string
	x := agentbay.ContextID(gate.NewContextID())
	hour := time.Now().Truncate(time.Hour)
	out := func(age time.Duration) string {
		return fmt.Sprintf("%s/outgoing/%d/abc", key.ID, hour.Add(-age).Unix())
	}
	// All of it is there before the bay, which begins with a collection.
	b := baytest.New(t, directly(blobs), func(b *baytest.Bay) {
		b.NewKey(t, "mine")
		var err error
		key, err = b.Store.Key(t.Context(), "mine")
		must(t, err)
		must(t, b.Store.AddContext(t.Context(), store.Context{KeyID: key.ID, ContextInfo: agentbay.ContextInfo{ID: x, Name: "x", State: agentbay.ContextAvailable}}))
		in = key.ID + "/incoming/" + strings.ToLower(string(x)) + "/"
		must(t, b.Store.AddIncoming(t.Context(), store.Incoming{Name: in + "over", Context: x, Path: "late", Expires: time.Now()}))
		for _, name := range []string{in + "over", in + "unknown", out(0), out(time.Hour), out(24 * time.Hour), key.ID + "/outgoing/else"} {
			must(t, blobs.Put(t.Context(), name, strings.NewReader("text"), 4))
		}
	})
	s := b.As(key)
	open, err := s.UploadURL(t.Context(), x, "/open")
	must(t, err)
	must(t, b.Collect(t.Context()))
	if _, err := b.Store.Incoming(t.Context(), in+"over"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("what is not expected any more: %v, want NotFound", err)
	}
	if got := content(t, b.Bay, x, "/late"); got != "text" {
		t.Errorf("what was put before its time was over, and nobody looked for: %q", got)
	}
	if left := append(named(t, blobs, "/incoming/"), named(t, blobs, "/outgoing/")...); fmt.Sprint(left) != fmt.Sprint([]string{out(time.Hour), out(0)}) {
		t.Errorf("left: %q, want what may still be got", left)
	}
	must(t, b.Collect(t.Context())) // hours later nobody may have asked for it again
	send(t, http.MethodPut, open.URL, "", "open")
	if got := content(t, b.Bay, x, "/open"); got != "open" {
		t.Errorf("put after a collection: %q", got)
	}
	upload(t, s, x, "/gone", "text")
	must(t, s.DeleteContext(t.Context(), x))
	must(t, b.Collect(t.Context()))
	if left := named(t, blobs, "/incoming/"); len(left) > 0 {
		t.Errorf("of a context that is gone: %q", left)
	}
}
