package tree_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

// put puts a file into the context from outside.
func (w *world) put(path string, content []byte) {
	w.t.Helper()
	writer, err := w.repo.Writer(w.t.Context())
	must(w.t, err)
	defer writer.Close()
	extents, size, err := writer.File(w.t.Context(), bytes.NewReader(content), -1)
	must(w.t, err)
	e := contexts.Entry{Path: path, Kind: contexts.File, Mode: 0o644, Modified: time.Unix(1e9, 0), Outside: true, Size: size, Extents: extents}
	w.head, _, err = w.repo.Apply(w.t.Context(), writer, w.head, func(yield func(contexts.Change, error) bool) {
		yield(contexts.Change{Path: path, Entry: e}, nil)
	})
	must(w.t, err)
}

// zipOf makes a zip archive of names and contents.
func zipOf(files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, _ := z.Create(name)
		io.WriteString(w, text)
	}
	z.Close()
	return b.Bytes()
}

// tarOf makes a compressed tar archive.
func tarOf(headers ...tar.Header) []byte {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for _, h := range headers {
		body := h.Uname // the content, by the way
		h.Uname, h.Size = "", int64(len(body))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		w.WriteHeader(&h)
		io.WriteString(w, body)
	}
	w.Close()
	gz.Close()
	return b.Bytes()
}

// files lists what a session sees, with contents.
func (s *session) files() string {
	s.t.Helper()
	var all []string
	must(s.t, fs.WalkDir(os.DirFS(s.Merged), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(s.path(path))
			all = append(all, fmt.Sprintf("%s=%.20s", path, b))
		}
		return err
	}))
	return strings.Join(all, " ")
}

func TestArchivesFromOutsideAreUnpackedAsAsked(t *testing.T) {
	archive := zipOf(map[string]string{"a": "1", "sub/b": "2"})
	for _, tc := range []struct {
		policy agentbay.ExtractPolicy
		want   string
	}{
		{agentbay.ExtractPolicy{}, "x.zip=PK"},
		{agentbay.ExtractPolicy{Extract: true, DeleteSource: true}, "x/a=1 x/sub/b=2"},
		{agentbay.ExtractPolicy{Extract: true}, "x/a=1 x/sub/b=2 x.zip=PK"},
		{agentbay.ExtractPolicy{Extract: true, DeleteSource: true, CurrentFolder: true}, "a=1 sub/b=2"},
	} {
		w := newWorld(t)
		w.use(agentbay.ContextMount{Path: "/tmp/data", Policy: agentbay.SyncPolicy{Extract: tc.policy}})
		late := w.session()
		w.put("tmp/data/x.zip", archive)
		for what, s := range map[string]*session{"mounted": w.session(), "loaded": late} {
			if what == "loaded" {
				s.load("")
			}
			got := strings.ReplaceAll(s.files(), string(archive[:min(20, len(archive))]), "PK")
			if got != tc.want {
				t.Errorf("%s with %+v: %q, want %q", what, tc.policy, got, tc.want)
			}
			if n := s.changes(); n != 0 {
				t.Errorf("%s with %+v: what was unpacked is %d changes, want 0", what, tc.policy, n)
			}
		}
	}
}

// What is unpacked of an archive is wanted if the archive is, by name or as part
// of a directory; what a list leaves out stays out.
func TestAListThatNamesAnArchiveMeansWhatIsInIt(t *testing.T) {
	for _, tc := range []struct {
		list []agentbay.WhiteList
		want string
	}{
		{[]agentbay.WhiteList{{Path: "x.zip"}}, "x/a=1 x/sub/b=2"},
		{[]agentbay.WhiteList{{Path: "dir", Exclude: []string{"y/sub"}}}, "dir/y/a=1"},
		{[]agentbay.WhiteList{{Path: "x"}}, ""},
	} {
		w := newWorld(t)
		w.use(agentbay.ContextMount{Path: "/tmp/data", Policy: agentbay.SyncPolicy{WhiteList: tc.list, Extract: agentbay.DefaultSyncPolicy.Extract}})
		late := w.session()
		for _, name := range []string{"x.zip", "dir/y.zip"} {
			w.put("tmp/data/"+name, zipOf(map[string]string{"a": "1", "sub/b": "2"}))
		}
		late.load("")
		for what, s := range map[string]*session{"mounted": w.session(), "loaded": late} {
			if got := s.files(); got != tc.want {
				t.Errorf("%s with %+v: %q, want %q", what, tc.list, got, tc.want)
			}
			if n := s.changes(); n != 0 {
				t.Errorf("%s with %+v: what was unpacked is %d changes, want 0", what, tc.list, n)
			}
		}
	}
}

func TestWhatTheContextHasWinsOverWhatIsUnpacked(t *testing.T) {
	w := newWorld(t)
	w.session().write2(t, map[string]string{"x/a": "own"})
	w.put("tmp/data/x.tar.gz", tarOf(tar.Header{Name: "a", Uname: "unpacked"}, tar.Header{Name: "b", Uname: "unpacked"}))
	s := w.session()
	if got := s.files(); got != "x/a=own x/b=unpacked" {
		t.Errorf("a session sees %q", got)
	}
	s.write("x/b", "changed")
	s.save()
	if got := w.session().files(); got != "x/a=own x/b=changed" {
		t.Errorf("the next session sees %q", got)
	}
}

func TestALoadUnpacksAnArchiveOnce(t *testing.T) {
	w := newWorld(t)
	s := w.session()
	w.put("tmp/data/x.zip", zipOf(map[string]string{"a": "1"}))
	s.load("")
	s.write("x/a", "changed here")
	s.load("")
	if got := s.files(); got != "x/a=changed here" {
		t.Errorf("after a second load there is %q, want the session's own", got)
	}
	w.put("tmp/data/x.zip", zipOf(map[string]string{"a": "2"}))
	s.load("")
	if got := s.files(); got != "x/a=2" {
		t.Errorf("after a load of a new archive there is %q, want its content", got)
	}
	must(t, os.Remove(s.path("x/a")))
	s.save()
	if got := w.session().files(); got != "x/a=2" {
		t.Errorf("the next session sees %q, want what the archive still has", got)
	}
}

func TestBrokenArchivesAreLeftAsFiles(t *testing.T) {
	good := tarOf(tar.Header{Name: "a", Uname: strings.Repeat("text", 10_000)})
	for name, content := range map[string][]byte{
		"cut.tar.gz":  good[:len(good)/2],
		"no.zip":      []byte("no zip at all"),
		"no.tar":      []byte(strings.Repeat("no tar at all", 1000)),
		"no.tgz":      []byte("no gzip"),
		"empty.zip":   {},
		"bomb.tar.gz": bomb(),
	} {
		w := newWorld(t)
		w.put("tmp/data/"+name, content)
		p := new(tree.Progress)
		out, err := w.cache.Checkout(t.Context(), w.repo, w.head, w.view, p)
		must(t, err)
		defer out.Release()
		s := w.over(out)
		if got, err := os.ReadFile(s.path(name)); !bytes.Equal(got, content) {
			t.Errorf("%s is not what was put: %v", name, err)
		}
		if all := seen(t, s.Merged); len(all) != 1 {
			t.Errorf("%s leaves %v", name, all)
		}
		if len(p.Warnings()) != 1 || !strings.Contains(p.Warnings()[0], name) {
			t.Errorf("%s: the warnings are %q, want one that names it", name, p.Warnings())
		}
	}
}

// bomb is a small archive of much.
func bomb() []byte {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	const size = 200 << 20
	w.WriteHeader(&tar.Header{Name: "bomb", Size: size, Mode: 0o644})
	io.CopyN(w, zeros{}, size)
	w.Close()
	gz.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestArchivesReachNothingOutside(t *testing.T) {
	outside := t.TempDir()
	content := tarOf(
		tar.Header{Name: "../escaped", Uname: "x"},
		tar.Header{Name: "/abs", Uname: "x"},
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: outside},
		tar.Header{Name: "link/through", Uname: "x"},
		tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../../../../../../etc/passwd"},
		tar.Header{Name: "hard2", Typeflag: tar.TypeLink, Linkname: "link/x"},
		tar.Header{Name: "fine", Uname: "x", Mode: 0o6755},
		tar.Header{Name: "same", Typeflag: tar.TypeLink, Linkname: "fine"},
		tar.Header{Name: "dev", Typeflag: tar.TypeChar},
		tar.Header{Name: "fine/below", Uname: "x"},
	)
	w := newWorld(t)
	late := w.session()
	w.put("tmp/data/x.tgz", content)
	late.load("")
	for _, s := range []*session{w.session(), late} {
		if got := s.files(); got != "x/abs=x x/fine=x x/same=x" {
			t.Errorf("there is %q, want what belongs there", got)
		}
		info, err := os.Lstat(s.path("x/fine"))
		must(t, err)
		if info.Mode() != 0o755 {
			t.Errorf("a file from outside has the mode %v, want no more than permissions", info.Mode())
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("an archive wrote %v through a link", left)
	}
}

// Whatever an archive says, the checkout works.
func FuzzUnpack(f *testing.F) {
	f.Add("x.zip", zipOf(map[string]string{"a": "1", "b/c": "2"}))
	f.Add("x.tgz", tarOf(tar.Header{Name: "a", Uname: "1"}, tar.Header{Name: "a/b", Uname: "2"}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/"}))
	f.Add("x.tar", []byte(strings.Repeat("\x00", 1024)))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		key, err := tree.Key("/tmp/data/" + name)
		if err != nil || len(key) <= len("tmp/data/") || len(content) == 0 {
			return
		}
		w := newWorld(t)
		w.put(key, content)
		out, err := w.cache.Checkout(t.Context(), w.repo, w.head, w.view, new(tree.Progress))
		if err != nil {
			t.Fatalf("checkout: %v", err)
		}
		out.Release()
	})
}
