package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/blobtest"
	"github.com/agentbay/agentbay/internal/blob/s3"
	"github.com/agentbay/agentbay/internal/blob/s3/s3test"
	"github.com/agentbay/agentbay/internal/certs"
)

func TestStore(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server.Options) })
}

func TestStoreThatSendsParts(t *testing.T) {
	server := s3test.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, server.Options)
		s3.SetPart(s, 5<<20)
		return s
	})
	if left := uploads(t, server); len(left) != 0 {
		t.Errorf("failed Puts have left the uploads %q", left)
	}
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
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("opened", "options", o)
	slog.New(slog.NewTextHandler(&log, nil)).Info("opened", "options", o)
	if s := fmt.Sprintf("%v %+v %#v %s %s", o, o, o, &o, &log); strings.Contains(s, "hidden") {
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
	for what, part := range map[string]int64{"with one request": 16 << 20, "in parts": 5 << 20} {
		s := open(t, o)
		s3.SetPart(s, part)
		line.Cut(4<<20, 1<<40)
		err := s.Put(t.Context(), "a", io.LimitReader(zeros{}, 12<<20), 12<<20)
		if !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("Put %s over a line that breaks: %v, want Unavailable", what, err)
		}
		line.Mend()
		if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, agentbay.NotFound) {
			t.Errorf("Stat of a blob whose Put %s broke off: %v, want NotFound", what, err)
		}
	}
	if left := uploads(t, server); len(left) != 0 {
		t.Errorf("Puts that broke off left the uploads %q", left)
	}
}

// The server has the blob, but its answer gets lost.
func TestPutWhoseAnswerIsLostIsTriedAgain(t *testing.T) {
	server := s3test.Start(t)
	line := s3test.NewLine(t, server)
	o := server.Options
	o.Endpoint = line.Endpoint
	s := open(t, o)
	line.CutOnce(1<<40, 1)
	want := strings.Repeat("a", 1<<20)
	put(t, s, "a", want)
	if line.Made() < 2 {
		t.Errorf("the blob was put with %d connections, want another one for the second try", line.Made())
	}
	if got, err := get(t.Context(), s, "a", 0, -1); err != nil || got != want {
		t.Errorf("Get: %d bytes, %v, want what was put", len(got), err)
	}
}

func TestDeadServerIsUnavailable(t *testing.T) {
	server := s3test.Start(t)
	s := open(t, server.Options)
	put(t, s, "a", "1")
	server.Kill()
	for call, try := range map[string]func() error{
		"Put":    func() error { return s.Put(t.Context(), "b", strings.NewReader("1"), 1) },
		"Get":    func() error { _, err := get(t.Context(), s, "a", 0, -1); return err },
		"Stat":   func() error { _, err := s.Stat(t.Context(), "a"); return err },
		"Delete": func() error { return s.Delete(t.Context(), "a") },
		"List":   func() error { return listed(t.Context(), s) },
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel() // each is tried for some seconds
			if err := try(); !errors.Is(err, agentbay.Unavailable) || strings.Contains(err.Error(), server.SecretKey) {
				t.Errorf("%s without a server: %v, want Unavailable", call, err)
			}
		})
	}
}

// listed is what a List ends with.
func listed(ctx context.Context, s blob.Store) (err error) {
	for _, err = range s.List(ctx, "") {
	}
	return err
}

func TestFullServerIsExhausted(t *testing.T) {
	server := s3test.StartWith(t, s3test.Config{Disk: 4 << 20})
	s := open(t, server.Options)
	put(t, s, "old", "what was there")
	err := s.Put(t.Context(), "old", io.LimitReader(zeros{}, 16<<20), 16<<20)
	if !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("Put of 16 MiB on a server with 4: %v, want Exhausted", err)
	}
	if got, err := get(t.Context(), s, "old", 0, -1); err != nil || got != "what was there" {
		t.Errorf("Get after a Put that found no room: %q, %v", got, err)
	}
	put(t, s, "new", strings.Repeat("a", 1<<20))
}

func TestStoreSpeaksTLS(t *testing.T) {
	dir := t.TempDir()
	if _, err := certs.Open(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	// The system's certificates are read once a process: now, without this one.
	if _, err := x509.SystemCertPool(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "ca.pem"))
	server := s3test.StartWith(t, s3test.Config{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")})
	t.Run("Store", func(t *testing.T) {
		blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server.Options) })
	})
	t.Run("UntrustedIsRefused", func(t *testing.T) {
		t.Setenv("SSL_CERT_FILE", "")
		err := open(t, server.Options).Check(t.Context())
		if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(agentbay.MessageOf(err), "does not trust the certificate") {
			t.Errorf("Check of a server whose certificate nobody knows: %v, want Unavailable and that it is not trusted", err)
		}
	})
}

func TestCheckRemovesWhatKilledPutsLeft(t *testing.T) {
	server := s3test.Start(t)
	one, other := open1(t, server.Options, "one"), open1(t, server.Options, "other")
	core := minio.Core{Client: server.Client(t)}
	for _, key := range []string{"one/killed", "other/running"} {
		id, err := core.NewMultipartUpload(t.Context(), server.Bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := core.PutObjectPart(t.Context(), server.Bucket, key, id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(one.Check(t.Context()), other.Check(t.Context())); err != nil {
		t.Fatalf("Check: %v", err)
	}
	if left := uploads(t, server); len(left) != 2 {
		t.Errorf("Check left the uploads %q that began just now, want both", left)
	}
	if err := s3.Clean(t.Context(), one, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left := uploads(t, server); !slices.Equal(left, []string{"other/running"}) {
		t.Errorf("an hour later the uploads %q are left, want only that of the other store", left)
	}
}

// uploads lists the uploads that have not ended.
func uploads(t *testing.T, server *s3test.Server) (keys []string) {
	t.Helper()
	for u := range server.Client(t).ListIncompleteUploads(t.Context(), server.Bucket, "", true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		keys = append(keys, u.Key)
	}
	return keys
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
