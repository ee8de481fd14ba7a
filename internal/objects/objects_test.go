package objects

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/listener"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// A shelf is a bay that keeps files in memory.
type shelf struct {
	refuse error // every request, if not nil

	mu    sync.Mutex
	files map[string][]byte // guarded by mu; by path
	asked int               // guarded by mu; how often something was asked for
	cut   chan error        // what broke puts off, if not nil
}

func (s *shelf) PutContextFile(_ context.Context, id agentbay.ContextID, path string, body io.Reader, size int64) (string, error) {
	s.ask()
	if s.refuse != nil {
		return "", s.refuse
	}
	b, err := io.ReadAll(body)
	if s.cut != nil {
		s.cut <- err
	}
	if err != nil {
		return "", agentbay.Wrap(err, agentbay.Internal, "the file could not be kept")
	}
	if size >= 0 && size != int64(len(b)) {
		return "", agentbay.Errorf(agentbay.Invalid, "%d bytes of %d came", len(b), size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = b
	return named(b), nil
}

func (s *shelf) OpenContextFile(_ context.Context, id agentbay.ContextID, path string) (io.ReadSeekCloser, agentbay.ContextFile, error) {
	s.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[path]
	switch {
	case s.refuse != nil:
		return nil, agentbay.ContextFile{}, s.refuse
	case !ok:
		return nil, agentbay.ContextFile{}, agentbay.Errorf(agentbay.NotFound, "file %s not found", path)
	}
	return kept{bytes.NewReader(b), named(b)}, agentbay.ContextFile{Size: int64(len(b)), ModifiedAt: time.Unix(1_700_000_000, 0)}, nil
}

func (s *shelf) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
}

func named(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

type kept struct {
	*bytes.Reader
	etag string
}

func (kept) Close() error   { return nil }
func (k kept) ETag() string { return k.etag }

// serve starts a server with a door to bay and returns what it logs.
func serve(t testing.TB, bay Bay) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	d := &Door{Bay: bay, Secret: secret, Log: slog.New(slog.NewTextHandler(log, nil))}
	l, err := listener.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: listener.Server(d, slog.New(slog.DiscardHandler))}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv, log
}

// ticket is the path of a URL for a file.
func ticket(path string, write bool) string {
	return gate.FilePath(secret, gate.FileTicket{Context: "SdkCtx-1", Path: path, Write: write, Expires: time.Now().Add(time.Hour)})
}

// send makes a request; headers are pairs.
func send(t testing.TB, method, url string, body io.Reader, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return res, b
}

func TestWhatIsPutCanBeGot(t *testing.T) {
	bay := &shelf{files: map[string][]byte{}}
	srv, log := serve(t, bay)
	for _, tc := range []struct {
		path, disposition string
		body              io.Reader
		headers           []string
	}{
		{"tmp/data/a.bin", "attachment; filename=a.bin", strings.NewReader("with a length"), nil},
		{"tmp/a b.txt", `attachment; filename="a b.txt"`, strings.NewReader("typed"), []string{"Content-Type", "text/html"}},
		{"home/下载/ü\".zip", "attachment; filename*=utf-8''%C3%BC%22.zip", io.MultiReader(strings.NewReader("in "), strings.NewReader("chunks")), nil},
		{"C:/Users/x", "attachment; filename=x", strings.NewReader(""), nil},
	} {
		res, body := send(t, "PUT", srv.URL+ticket(tc.path, true), tc.body, tc.headers...)
		if res.StatusCode != 200 || len(body) > 0 || res.Header.Get("ETag") == "" {
			t.Errorf("PUT %s: %d %q %v", tc.path, res.StatusCode, body, res.Header)
		}
		got, body := send(t, "GET", srv.URL+ticket(tc.path, false), nil)
		want := bay.files[tc.path]
		if got.StatusCode != 200 || !bytes.Equal(body, want) || got.ContentLength != int64(len(want)) || got.Header.Get("ETag") != res.Header.Get("ETag") {
			t.Errorf("GET %s: %d %q %v, want %q", tc.path, got.StatusCode, body, got.Header, want)
		}
		if d := got.Header.Get("Content-Disposition"); d != tc.disposition {
			t.Errorf("%s is saved as %s, want %s", tc.path, d, tc.disposition)
		}
	}
	srv.Close()
	if strings.Contains(log.String(), "tok-") || strings.Count(log.String(), "context=SdkCtx-1") != 8 {
		t.Errorf("the log has a ticket, or lacks a request: %s", log)
	}
}

// Whoever filled a context must not reach a browser's other pages.
func TestFilesAreHarmlessInBrowsers(t *testing.T) {
	srv, _ := serve(t, &shelf{files: map[string][]byte{"x.html": []byte("<script>")}})
	res, _ := send(t, "GET", srv.URL+ticket("x.html", false), nil)
	for name, want := range map[string]string{
		"Content-Type":            "application/octet-stream",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "default-src 'none'; sandbox",
		"Referrer-Policy":         "no-referrer",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestPartsAndConditionsAreThoseOfHTTP(t *testing.T) {
	srv, _ := serve(t, &shelf{files: map[string][]byte{"f": []byte("0123456789")}})
	etag := `"` + named([]byte("0123456789")) + `"`
	for name, tc := range map[string]struct {
		method  string
		headers []string
		status  int
		body    string
		length  string
	}{
		"described":         {"HEAD", nil, 200, "", "10"},
		"first bytes":       {"GET", []string{"Range", "bytes=0-3"}, 206, "0123", "4"},
		"last bytes":        {"GET", []string{"Range", "bytes=-2"}, 206, "89", "2"},
		"past the end":      {"GET", []string{"Range", "bytes=10-"}, 416, "invalid range: failed to overlap\n", ""},
		"the same version":  {"GET", []string{"Range", "bytes=8-", "If-Range", etag}, 206, "89", "2"},
		"another version":   {"GET", []string{"Range", "bytes=8-", "If-Range", `"x"`}, 200, "0123456789", "10"},
		"known already":     {"GET", []string{"If-None-Match", etag}, 304, "", ""},
		"not changed since": {"GET", []string{"If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"}, 304, "", ""},
	} {
		res, body := send(t, tc.method, srv.URL+ticket("f", false), nil, tc.headers...)
		if res.StatusCode != tc.status || string(body) != tc.body || tc.length != "" && res.Header.Get("Content-Length") != tc.length {
			t.Errorf("%s: %d %q %v, want %d %q", name, res.StatusCode, body, res.Header, tc.status, tc.body)
		}
	}
}

func TestALinkIsGoodForWhatItSays(t *testing.T) {
	bay := &shelf{files: map[string][]byte{"f": []byte("kept")}}
	srv, _ := serve(t, bay)
	expired := gate.FilePath(secret, gate.FileTicket{Context: "SdkCtx-1", Path: "f", Expires: time.Now().Add(-time.Second)})
	forged := gate.FilePath([]byte("another secret 0123456789"), gate.FileTicket{Context: "SdkCtx-1", Path: "f", Expires: time.Now().Add(time.Hour)})
	for name, tc := range map[string]struct {
		method, path string
		headers      []string
		status       int
		says         string
	}{
		"reading by a link to write": {"GET", ticket("f", true), nil, 405, "send the file with PUT"},
		"describing by one":          {"HEAD", ticket("f", true), nil, 405, ""},
		"writing by a link to read":  {"PUT", ticket("f", false), nil, 405, "get it with GET"},
		"another method":             {"DELETE", ticket("f", true), nil, 405, "send the file with PUT"},
		"expired":                    {"GET", expired, nil, 403, "expired at"},
		"forged":                     {"GET", forged, nil, 403, "was not made by this server"},
		"no ticket":                  {"GET", "/objects/", nil, 404, "looks like"},
		"a part":                     {"PUT", ticket("f", true), []string{"Content-Range", "bytes 0-1/5"}, 400, "without Content-Range"},
		"not there":                  {"GET", ticket("g", false), nil, 404, "not found"},
	} {
		res, body := send(t, tc.method, srv.URL+tc.path, strings.NewReader("other"), tc.headers...)
		if res.StatusCode != tc.status || !strings.Contains(string(body), tc.says) || (tc.status == 405) != (res.Header.Get("Allow") != "") {
			t.Errorf("%s: %d %q, want %d %q", name, res.StatusCode, body, tc.status, tc.says)
		}
	}
	if string(bay.files["f"]) != "kept" {
		t.Errorf("the file is %q now", bay.files["f"])
	}
}

func TestEveryRefusalHasAStatusAndASentence(t *testing.T) {
	for code, status := range map[agentbay.Code]int{
		agentbay.Invalid: 400, agentbay.Denied: 403, agentbay.NotFound: 404, agentbay.Conflict: 409,
		agentbay.Exhausted: 507, agentbay.Unavailable: 503, agentbay.Internal: 500,
	} {
		srv, log := serve(t, &shelf{refuse: agentbay.Wrap(errors.New("inner"), code, "do this next")})
		for _, method := range []string{"PUT", "GET"} {
			res, body := send(t, method, srv.URL+ticket("f", method == "PUT"), nil)
			if res.StatusCode != status || string(body) != "do this next\n" || res.Header.Get("Content-Disposition") != "" {
				t.Errorf("%s, %s: %d %q %v, want %d", method, code, res.StatusCode, body, res.Header, status)
			}
		}
		srv.Close()
		if strings.Count(log.String(), "inner") != 2 {
			t.Errorf("%s: the log lacks the cause: %s", code, log)
		}
	}
	if len(statuses) != len(agentbay.Codes) {
		t.Errorf("%d codes have a status, want %d", len(statuses), len(agentbay.Codes))
	}
}

func TestAFileHasALargestSize(t *testing.T) {
	bay := &shelf{files: map[string][]byte{}}
	srv, _ := serve(t, bay)
	srv.Config.Handler.(*Door).MaxFile = 10
	for name, body := range map[string]io.Reader{
		"announced": strings.NewReader("01234567890"),
		"in chunks": io.MultiReader(strings.NewReader("01234567890")),
	} {
		res, text := send(t, "PUT", srv.URL+ticket("f", true), body)
		if res.StatusCode != 413 || !strings.Contains(string(text), "at most 10 bytes") {
			t.Errorf("%s: %d %q, want 413", name, res.StatusCode, text)
		}
	}
	if len(bay.files) > 0 {
		t.Errorf("there are files: %v", bay.files)
	}
}

// A file that breaks off is reported to who keeps it, which keeps nothing.
func TestAPutCutShortChangesNothing(t *testing.T) {
	bay := &shelf{files: map[string][]byte{"f": []byte("kept")}, cut: make(chan error, 1)}
	srv, _ := serve(t, bay)
	for name, head := range map[string]string{
		"with a length": "Content-Length: 100\r\n\r\nhalf",
		"in chunks":     "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: bay.example\r\n%s", ticket("f", true), head)
		conn.(*net.TCPConn).CloseWrite()
		if err := <-bay.cut; err == nil {
			t.Errorf("%s: the body ended without an error", name)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && res.StatusCode != 400 { // nobody may be there any more to read it
			t.Errorf("%s: %d, want 400", name, res.StatusCode)
		}
		conn.Close()
	}
	if string(bay.files["f"]) != "kept" {
		t.Errorf("the file is %q now", bay.files["f"])
	}
}

// A rotten file is one of which only the first half can be read.
type rotten struct{ *shelf }

func (r rotten) OpenContextFile(ctx context.Context, id agentbay.ContextID, path string) (io.ReadSeekCloser, agentbay.ContextFile, error) {
	f, info, err := r.shelf.OpenContextFile(ctx, id, path)
	return half{f, info.Size / 2}, info, err
}

type half struct {
	io.ReadSeekCloser
	size int64
}

func (h half) Read(p []byte) (int, error) {
	at, _ := h.Seek(0, io.SeekCurrent)
	if at >= h.size {
		return 0, errors.New("chunk 7 is damaged")
	}
	return h.ReadSeekCloser.Read(p[:min(int64(len(p)), h.size-at)])
}

func TestADamagedFileIsNotTakenForWhole(t *testing.T) {
	srv, log := serve(t, rotten{&shelf{files: map[string][]byte{"f": make([]byte, 1<<20)}}})
	res, err := http.Get(srv.URL + ticket("f", false))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err == nil {
		t.Errorf("%d bytes of a damaged file of %d came without an error", len(b), 1<<20)
	}
	srv.Close()
	if !strings.Contains(log.String(), "chunk 7 is damaged") {
		t.Errorf("the log does not say why: %s", log)
	}
}

// A drain is a bay that passes a large file through and keeps a sum of it.
type drain struct{ size int64 }

func (d drain) PutContextFile(_ context.Context, _ agentbay.ContextID, _ string, body io.Reader, size int64) (string, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	return fmt.Sprintf("%d of %d: %x", n, size, sum.Sum(nil)), err
}

func (d drain) OpenContextFile(context.Context, agentbay.ContextID, string) (io.ReadSeekCloser, agentbay.ContextFile, error) {
	return zeros{io.NewSectionReader(zeroAt{}, 0, d.size)}, agentbay.ContextFile{Size: d.size}, nil
}

type zeroAt struct{}

func (zeroAt) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

type zeros struct{ *io.SectionReader }

func (zeros) Close() error { return nil }

func TestLargeFilesPassThrough(t *testing.T) {
	const size = 200 << 20
	srv, _ := serve(t, drain{size})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sum := sha256.New()
	io.CopyN(sum, zeros{io.NewSectionReader(zeroAt{}, 0, size)}, size)
	for _, known := range []bool{true, false} {
		req, _ := http.NewRequest("PUT", srv.URL+ticket("f", true), io.NopCloser(io.NewSectionReader(zeroAt{}, 0, size)))
		announced := int64(-1)
		if known {
			req.ContentLength, announced = size, size
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := fmt.Sprintf(`"%d of %d: %x"`, size, announced, sum.Sum(nil)); res.Header.Get("ETag") != want {
			t.Errorf("put %s, want %s", res.Header.Get("ETag"), want)
		}
	}
	res, err := http.Get(srv.URL + ticket("f", false))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := sha256.New()
	if n, err := io.Copy(got, res.Body); n != size || err != nil || !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d MB passed through %d MB of memory", 3*size>>20, used>>20)
	}
}

// Clients put and get as they like to: each set of headers was sent by an SDK.
func TestEveryCapturedTransferIsUnderstood(t *testing.T) {
	bay := &shelf{files: map[string][]byte{}}
	srv, _ := serve(t, bay)
	names, err := filepath.Glob("../rpc/testdata/captures/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatal("there are no captures: ", err)
	}
	seen := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var c struct {
				Method, Kind, Body string
				Headers            [][2]string
			}
			if err := json.Unmarshal(line, &c); err != nil {
				t.Fatal(err)
			}
			if c.Kind != "store" {
				continue
			}
			seen++
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\n", c.Method, ticket("tmp/file-transfer/up.bin", c.Method == "PUT"))
			for _, h := range c.Headers {
				fmt.Fprintf(conn, "%s: %s\r\n", h[0], h[1])
			}
			fmt.Fprintf(conn, "\r\n%s", c.Body)
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.Method})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if want := bay.files["tmp/file-transfer/up.bin"]; err != nil || res.StatusCode != 200 || c.Method == "GET" && !bytes.Equal(got, want) || c.Method == "PUT" && string(want) != c.Body {
				t.Errorf("%s of %s: %d %q, %v", c.Method, name, res.StatusCode, got, err)
			}
			conn.Close()
		}
	}
	if seen == 0 {
		t.Error("no transfer was captured")
	}
}

func FuzzDoor(f *testing.F) {
	bay := &shelf{files: map[string][]byte{}}
	d := &Door{Bay: bay, Secret: secret, Log: slog.New(slog.DiscardHandler)}
	f.Add("GET", "/objects/tok-AAAA/x")
	f.Add("PUT", "/objects/"+strings.Repeat("A", 100))
	f.Add("HEAD", strings.TrimSuffix(ticket("f", false), "/f")+"A/f")
	f.Fuzz(func(t *testing.T, method, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL.Path = method, path
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != 403 && w.Code != 404 || bay.asked > 0 {
			t.Errorf("%s %s: %d, and the bay was asked %d times", method, path, w.Code, bay.asked)
		}
	})
}
