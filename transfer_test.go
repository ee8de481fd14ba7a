package agentbay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
)

// noise is bytes that nothing makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// A meter is a progress that was told.
type meter [][2]int64

func (m *meter) option() agentbay.TransferOption {
	return agentbay.OnProgress(func(moved, total int64) { *m = append(*m, [2]int64{moved, total}) })
}

// check checks that the progress only grew, from nothing to all of size.
func (m meter) check(t *testing.T, what string, size int64) {
	t.Helper()
	if len(m) == 0 || m[0][0] != 0 || m[len(m)-1] != [2]int64{size, size} || !slices.IsSortedFunc(m, func(a, b [2]int64) int { return int(a[0] - b[0]) }) {
		t.Errorf("%s of %d bytes told %v", what, size, m)
	}
}

// names is what a directory holds.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestFilesTravelBothWays(t *testing.T) {
	s, ctx := newSession(t), t.Context()
	here, there := t.TempDir(), t.TempDir()
	for name, size := range map[string]int{"empty": 0, "small ü": 5, "large": 9<<20 + 1} {
		data := noise(size)
		must(t, os.WriteFile(filepath.Join(here, name), data, 0o600))
		remote := filepath.Join(there, "new dir", name)
		var up, down meter
		must(t, s.UploadFile(ctx, filepath.Join(here, name), remote, up.option()))
		up.check(t, "upload", int64(size))
		must(t, s.UploadFile(ctx, filepath.Join(here, name), remote)) // again, over what is there
		must(t, s.DownloadFile(ctx, remote, filepath.Join(here, "back"), down.option()))
		down.check(t, "download", int64(size))
		must(t, s.DownloadFile(ctx, remote, filepath.Join(here, "back")))
		got, err := os.ReadFile(filepath.Join(here, "back"))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back of %d, %v", name, len(got), size, err)
		}
	}
	if got := names(t, filepath.Join(there, "new dir")); len(got) != 3 {
		t.Errorf("the uploads left %q", got)
	}
}

func TestAFailedUploadLeavesNothing(t *testing.T) {
	s, ctx := newSession(t), t.Context()
	here, there := t.TempDir(), t.TempDir()
	local := filepath.Join(here, "f")
	must(t, os.WriteFile(local, noise(9<<20), 0o600))
	must(t, os.Mkdir(filepath.Join(there, "occupied"), 0o700))
	must(t, os.WriteFile(filepath.Join(there, "kept"), []byte("kept"), 0o600))
	stopped, stop := context.WithCancel(ctx)
	halfway := agentbay.OnProgress(func(moved, _ int64) {
		if moved > 5<<20 {
			stop()
		}
	})
	for name, err := range map[string]error{
		"of nothing":        s.UploadFile(ctx, filepath.Join(here, "none"), filepath.Join(there, "kept")),
		"of a directory":    s.UploadFile(ctx, here, filepath.Join(there, "kept")),
		"to a directory":    s.UploadFile(ctx, local, filepath.Join(there, "occupied")),
		"to no path at all": s.UploadFile(ctx, local, "kept"),
		"that is stopped":   s.UploadFile(stopped, local, filepath.Join(there, "kept"), halfway),
	} {
		if err == nil {
			t.Errorf("an upload %s succeeded", name)
		}
	}
	if got := names(t, there); !slices.Equal(got, []string{"kept", "occupied"}) {
		t.Errorf("the uploads left %q", got)
	}
	if got, err := os.ReadFile(filepath.Join(there, "kept")); err != nil || string(got) != "kept" {
		t.Errorf("the file there is %q now, %v", got, err)
	}
}

func TestAFailedDownloadLeavesNothing(t *testing.T) {
	s, ctx := newSession(t), t.Context()
	here, there := t.TempDir(), t.TempDir()
	kept := filepath.Join(here, "kept")
	must(t, os.WriteFile(kept, []byte("kept"), 0o600))
	remote := filepath.Join(there, "f")
	must(t, os.WriteFile(remote, noise(9<<20), 0o600))
	if err := s.DownloadFile(ctx, filepath.Join(there, "none"), kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("download of what is not there: %v", err)
	}
	if err := s.DownloadFile(ctx, there, kept); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("download of a directory: %v", err)
	}
	if err := s.DownloadFile(ctx, remote, kept, agentbay.KeepExisting()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("download to what is to be kept: %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	halfway := agentbay.OnProgress(func(moved, _ int64) {
		if moved > 5<<20 {
			stop()
		}
	})
	if err := s.DownloadFile(stopped, remote, kept, halfway); !errors.Is(err, context.Canceled) {
		t.Errorf("download that is stopped: %v", err)
	}
	got, err := os.ReadFile(kept)
	if err != nil || string(got) != "kept" || len(names(t, here)) != 1 {
		t.Errorf("there are %q with %q, %v", names(t, here), got, err)
	}
}

func TestContextFilesNeedNoSession(t *testing.T) {
	c, ctx := newBayClient(t), t.Context()
	x, err := c.CreateContext(ctx, "files")
	must(t, err)
	for path, r := range map[string]io.Reader{
		"/tmp/a b ü.txt": strings.NewReader("with a length"),
		"/tmp/chunks":    io.MultiReader(strings.NewReader("in "), strings.NewReader("chunks")),
		"/tmp/empty":     strings.NewReader(""),
		"/tmp/large":     bytes.NewReader(noise(9 << 20)),
		"C:/Users/x":     strings.NewReader("windows"),
	} {
		var want bytes.Buffer
		var up, down meter
		must(t, c.PutContextFile(ctx, x.ID, path, io.TeeReader(r, &want), up.option()))
		var got bytes.Buffer
		must(t, c.GetContextFile(ctx, x.ID, path, &got, down.option()))
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: got %d bytes, put %d", path, got.Len(), want.Len())
		}
		if want.Len() > 0 {
			up.check(t, "put", int64(want.Len()))
		}
		down.check(t, "get", int64(want.Len()))
	}
	must(t, c.PutContextFile(ctx, x.ID, "/tmp/known", bytes.NewReader(noise(100))))
	page, err := c.ContextFiles(ctx, x.ID, "/tmp", 1, 2)
	if err != nil || page.Total != 5 || len(page.Files) != 2 || page.Files[0].Path != "/tmp/chunks" || page.Files[0].Size != 9 || page.Files[0].SavedAt.IsZero() {
		t.Errorf("ContextFiles: %+v, %v", page, err)
	}
	if err := c.GetContextFile(ctx, x.ID, "/tmp/none", io.Discard); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("GetContextFile of what is not there: %v", err)
	}
	if err := c.PutContextFile(ctx, x.ID, "/tmp/known/below", strings.NewReader("x")); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("PutContextFile below a file: %v", err)
	}
	must(t, c.DeleteContextFile(ctx, x.ID, "/tmp/known"))
	if err := c.DeleteContextFile(ctx, x.ID, "/tmp/known"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("DeleteContextFile of what is not there: %v", err)
	}
}

func TestAPutThatBreaksOffChangesNothing(t *testing.T) {
	c, ctx := newBayClient(t), t.Context()
	x, err := c.CreateContext(ctx, "files")
	must(t, err)
	must(t, c.PutContextFile(ctx, x.ID, "/f", strings.NewReader("kept")))
	broken := io.MultiReader(strings.NewReader("half"), failing{})
	if err := c.PutContextFile(ctx, x.ID, "/f", broken); err == nil {
		t.Error("a put whose reader fails succeeded")
	}
	var got bytes.Buffer
	if err := c.GetContextFile(ctx, x.ID, "/f", &got); err != nil || got.String() != "kept" {
		t.Errorf("the file is %q now, %v", got.String(), err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }
