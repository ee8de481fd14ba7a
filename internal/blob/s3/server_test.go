package s3_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/s3"
	"github.com/agentbay/agentbay/internal/blob/s3/s3test"
)

func TestStore(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server.Options) })
}

func TestMultipartStore(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, server.Options)
		s3.SetSingle(s, 5<<20)
		return s
	})
}

// open opens a store with a prefix of its own.
func open(t testing.TB, o s3.Options) *s3.Store {
	t.Helper()
	o.Prefix = "t/" + strings.ToLower(rand.Text())
	s, err := s3.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func TestCheckOfGoodServerLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Options)
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("Check: %v", err)
	}
	for info, err := range s.List(t.Context(), "") {
		t.Errorf("after Check there is %+v, %v", info, err)
	}
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	server := s3test.Start(t)
	nobody := s3test.Start(t)
	nobody.Kill()
	for _, test := range []struct {
		what   string
		change func(*s3.Options)
		says   string
	}{
		{"a bucket that is not there", func(o *s3.Options) { o.Bucket = "another" }, "there is no bucket another"},
		{"a wrong access key", func(o *s3.Options) { o.AccessKey = "somebody" }, "does not know the access key somebody"},
		{"a wrong secret key", func(o *s3.Options) { o.SecretKey = "hidden-one" }, "the secret key is not that of access key"},
		{"a wrong region", func(o *s3.Options) { o.Region = "moon-1" }, "is not in region moon-1"},
		{"TLS where there is none", func(o *s3.Options) { o.Endpoint = strings.Replace(o.Endpoint, "http", "https", 1) }, "write http:// in the endpoint"},
		{"a server that is not there", func(o *s3.Options) { o.Endpoint = nobody.Endpoint }, "cannot be reached"},
	} {
		o := server.Options
		test.change(&o)
		err := open(t, o).Check(t.Context())
		if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(agentbay.MessageOf(err), test.says) {
			t.Errorf("Check with %s: %v, want Unavailable and %q", test.what, err, test.says)
		}
		if err != nil && strings.Contains(err.Error(), o.SecretKey) {
			t.Errorf("Check with %s tells the secret key: %v", test.what, err)
		}
	}
}

func TestOptionsPrintWithoutSecret(t *testing.T) {
	o := s3.Options{Endpoint: "https://s3.example.com", Bucket: "b", AccessKey: "a", SecretKey: "hidden"}
	if s := fmt.Sprintf("%v %+v %#v %s", o, o, o, &o); strings.Contains(s, "hidden") {
		t.Errorf("the options print as %s", s)
	}
}

func TestPrefixesAreApart(t *testing.T) {
	server := s3test.Start(t)
	one, other := open(t, server.Options), open(t, server.Options)
	put(t, one, "a", "1")
	if _, err := other.Stat(t.Context(), "a"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Stat of a blob below another prefix: %v, want NotFound", err)
	}
	for info, err := range other.List(t.Context(), "") {
		t.Errorf("List yields what is below another prefix: %+v, %v", info, err)
	}
}

func TestCutGetIsAnError(t *testing.T) {
	server := s3test.Start(t)
	line := s3test.NewLine(t, server)
	put(t, open1(t, server.Options, "p"), "a", strings.Repeat("a", 1<<20))
	server.Endpoint = line.Endpoint
	s := open1(t, server.Options, "p")
	for _, n := range []int64{-1, 900 << 10} {
		line.Cut(1<<40, 500<<10)
		got, err := get(t.Context(), s, "a", 0, n)
		if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(agentbay.MessageOf(err), "cut short") {
			t.Errorf("Get of %d bytes over a line that breaks: %d bytes, %v, want Unavailable and that it was cut short", n, len(got), err)
		}
	}
	line.Mend()
	if got, err := get(t.Context(), s, "a", 0, -1); err != nil || len(got) != 1<<20 {
		t.Errorf("Get over a mended line: %d bytes, %v", len(got), err)
	}
}

func TestCutPutLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	line := s3test.NewLine(t, server)
	o := server.Options
	o.Endpoint = line.Endpoint
	s := open(t, o)
	before := len(server.Files(t))
	line.Cut(500<<10, 1<<40)
	err := s.Put(t.Context(), "a", io.LimitReader(zeros{}, 1<<20), 1<<20)
	if !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Put over a line that breaks: %v, want Unavailable", err)
	}
	line.Mend()
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Stat of a blob whose Put broke off: %v, want NotFound", err)
	}
	if after := server.Files(t); len(after) != before {
		t.Errorf("a Put that broke off left %q", after)
	}
}

// The server has the blob, but its answer gets lost.
func TestPutWhoseAnswerIsLostIsTriedAgain(t *testing.T) {
	server := s3test.Start(t)
	line := s3test.NewLine(t, server)
	o := server.Options
	o.Endpoint = line.Endpoint
	s := open(t, o)
	line.Cut(1<<40, 1)
	r := &mending{strings.NewReader(strings.Repeat("a", 1<<20)), line, 0}
	if err := s.Put(t.Context(), "a", r, 1<<20); err != nil {
		t.Errorf("Put whose first answer is lost: %v", err)
	}
	if r.seeks < 2 {
		t.Errorf("the blob was sent %d times, want twice", r.seeks)
	}
}

// mending is a reader that mends the line when it is read again.
type mending struct {
	*strings.Reader
	line  *s3test.Line
	seeks int // to the start
}

func (m *mending) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		if m.seeks++; m.seeks > 1 {
			m.line.Mend()
		}
	}
	return m.Reader.Seek(offset, whence)
}

func TestDeadServerIsUnavailable(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Options)
	put(t, s, "a", "1")
	server.Kill()
	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, agentbay.Unavailable) || strings.Contains(err.Error(), server.SecretKey) {
			t.Errorf("%s without a server: %v, want Unavailable", call, err)
		}
	}
	check("Put", s.Put(t.Context(), "b", strings.NewReader("1"), 1))
	_, err := get(t.Context(), s, "a", 0, -1)
	check("Get", err)
	_, err = s.Stat(t.Context(), "a")
	check("Stat", err)
	check("Delete", s.Delete(t.Context(), "a"))
	for _, err = range s.List(t.Context(), "") {
	}
	check("List", err)
}

func TestPresignedURLsServeStrangers(t *testing.T) {
	server := s3test.Start(t)
	o := server.Options
	o.Endpoint, o.PublicEndpoint = "http://127.0.0.1:1", server.Endpoint // signing asks nobody
	private := open1(t, server.Options, "p")
	s := open1(t, o, "p")

	u, err := s.PresignPut(t.Context(), "t-1/a", time.Hour)
	if err != nil || !strings.HasPrefix(u, server.Endpoint) {
		t.Fatalf("PresignPut: %s, %v, want a URL of %s", u, err, server.Endpoint)
	}
	if strings.Contains(u, server.SecretKey) {
		t.Errorf("the URL has the secret key in it: %s", u)
	}
	if code, body := request(t, http.MethodPut, u, "", "0123456789"); code != http.StatusOK {
		t.Errorf("PUT: %d %s", code, body)
	}
	if got, err := get(t.Context(), private, "t-1/a", 0, -1); err != nil || got != "0123456789" {
		t.Errorf("Get of what was put by URL: %q, %v", got, err)
	}

	u, err = s.PresignGet(t.Context(), "t-1/a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if code, body := request(t, http.MethodGet, u, "", ""); code != http.StatusOK || body != "0123456789" {
		t.Errorf("GET: %d %q", code, body)
	}
	if code, body := request(t, http.MethodGet, u, "bytes=2-4", ""); code != http.StatusPartialContent || body != "234" {
		t.Errorf("GET of a part: %d %q", code, body)
	}
	if code, _ := request(t, http.MethodPut, u, "", "changed"); code != http.StatusForbidden {
		t.Errorf("PUT to a URL for GET: %d, want 403", code)
	}
	if code, _ := request(t, http.MethodGet, strings.Replace(u, "t-1/a?", "t-1/b?", 1), "", ""); code != http.StatusForbidden {
		t.Errorf("GET of another blob with the same signature: %d, want 403", code)
	}
}

func request(t *testing.T, method, url, part, content string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if part != "" {
		req.Header.Set("Range", part)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// open1 opens the store with a prefix.
func open1(t testing.TB, o s3.Options, prefix string) *s3.Store {
	t.Helper()
	o.Prefix = prefix
	s, err := s3.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func put(t testing.TB, s blob.Store, name, content string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatalf("Put of %s: %v", name, err)
	}
}

func get(ctx context.Context, s blob.Store, name string, offset, n int64) (string, error) {
	r, err := s.Get(ctx, name, offset, n)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}
