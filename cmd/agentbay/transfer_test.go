package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

// A shelf gives each file its own path as content.
type shelf struct{ err error }

func (s shelf) GetContextFile(_ context.Context, _ agentbay.ContextID, path string, w io.Writer, _ ...agentbay.TransferOption) error {
	_, err := io.WriteString(w, path)
	return errors.Join(err, s.err)
}

func downloadTo(t *testing.T, bay getter, dir string) *download {
	t.Helper()
	a := &app{env: env{out: io.Discard, errOut: io.Discard}}
	d, err := openDownload(bay, "SdkCtx-1", dir, a.newTally("got"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// Names and links in a context were chosen by whoever filled it.
func TestDownloadStaysInItsDirectory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		link  string // made before, as "dir"
		files []remoteFile
	}{
		{"a name that leads out", "", []remoteFile{{"../out", agentbay.ContextFile{Path: "/a"}}}},
		{"a name that leads out further down", "", []remoteFile{{"dir/../../out", agentbay.ContextFile{Path: "/a"}}}},
		{"an absolute name", "", []remoteFile{{"/out", agentbay.ContextFile{Path: "/a"}}}},
		{"a directory that leads out", "", []remoteFile{{"../out", agentbay.ContextFile{Path: "/a", Dir: true}}}},
		{"a link that leads out", "", []remoteFile{{"../out", agentbay.ContextFile{Path: "/a", Link: "x"}}}},
		{"a file below a link of the context", "", []remoteFile{
			{"dir", agentbay.ContextFile{Path: "/dir", Link: ".."}}, {"dir/out", agentbay.ContextFile{Path: "/dir/out"}},
		}},
		{"a file below a link that was there", "..", []remoteFile{{"dir/out", agentbay.ContextFile{Path: "/dir/out"}}}},
		{"a link in the place of a directory", "", []remoteFile{
			{"dir", agentbay.ContextFile{Path: "/dir", Dir: true}}, {"dir", agentbay.ContextFile{Path: "/dir", Link: ".."}},
			{"dir/../../out", agentbay.ContextFile{Path: "/dir/out"}},
		}},
	} {
		above := t.TempDir()
		d := downloadTo(t, shelf{}, filepath.Join(above, "below"))
		if tc.link != "" {
			if err := os.Symlink(tc.link, filepath.Join(above, "below", "dir")); err != nil {
				t.Fatal(err)
			}
		}
		var failed error
		for _, f := range tc.files {
			failed = errors.Join(failed, d.get(t.Context(), f))
		}
		if entries, err := os.ReadDir(above); err != nil || len(entries) != 1 {
			t.Errorf("%s: %v beside the directory, %v", tc.name, entries, err)
		}
		if failed == nil || !strings.Contains(failed.Error(), "cannot be written") {
			t.Errorf("%s: %v, want an error", tc.name, failed)
		}
	}
}

func TestDownloadReplacesFilesInOneStep(t *testing.T) {
	dir := t.TempDir()
	name, at := filepath.Join(dir, "a"), time.Unix(1e9, 5)
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := remoteFile{"a", agentbay.ContextFile{Path: "/x/a", ModifiedAt: at}}
	broken := downloadTo(t, shelf{agentbay.Errorf(agentbay.Unavailable, "broken off")}, dir)
	err := broken.get(t.Context(), f)
	if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(err.Error(), "/x/a: broken off") {
		t.Errorf("download that breaks off: %v, want Unavailable that names the file", err)
	}
	if b, err := os.ReadFile(name); string(b) != "before" {
		t.Errorf("after a download that broke off: %q, %v", b, err)
	}
	if err := downloadTo(t, shelf{}, dir).get(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if b, _ := os.ReadFile(name); string(b) != "/x/a" || err != nil || !info.ModTime().Equal(at) {
		t.Errorf("after a download: %q of %v, %v", b, info.ModTime(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLinksComeAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	d := downloadTo(t, shelf{}, dir)
	for _, target := range []string{"nowhere", "/etc", "nowhere"} {
		if err := d.get(t.Context(), remoteFile{"l", agentbay.ContextFile{Path: "/l", Link: target}}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "l")); got != target {
			t.Errorf("link to %q, %v, want %q", got, err, target)
		}
	}
}

// numbers yields as many as are asked for, and fails in the end.
func numbers(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func TestSeveralStopsAtTheFirstFailure(t *testing.T) {
	failure := errors.New("failure")
	var done atomic.Int64
	all := func(context.Context, int) error { done.Add(1); return nil }
	if err := several(t.Context(), numbers(1000, nil), all); err != nil || done.Load() != 1000 {
		t.Errorf("%d of 1000 done, %v", done.Load(), err)
	}
	if err := several(t.Context(), numbers(10, failure), all); !errors.Is(err, failure) {
		t.Errorf("items that fail: %v", err)
	}
	done.Store(0)
	err := several(t.Context(), numbers(1e9, nil), func(_ context.Context, n int) error {
		if done.Add(1) == 100 {
			return failure
		}
		return nil
	})
	if !errors.Is(err, failure) {
		t.Errorf("a thing that fails: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	err = several(cancelled, numbers(1e9, nil), func(context.Context, int) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestSizesAreSaidShortly(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 50: "1.0 PiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := sizeText(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

// What a session wrote must not steer a terminal.
func TestOddNamesAreQuoted(t *testing.T) {
	for name, want := range map[string]string{"a b": "a b", "ü.txt": "ü.txt", "\x1b[2J": `"\x1b[2J"`, "a\nb": `"a\nb"`, "\xff": `"\xff"`} {
		if got := plainText(name); got != want {
			t.Errorf("%q is shown as %s, want %s", name, got, want)
		}
	}
}
