package contexts_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/agentbay/agentbay/internal/contexts"
)

// sparseFile makes a file of size bytes with parts, by offset.
func sparseFile(t *testing.T, size int64, parts map[int64][]byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, f.Truncate(size))
	for at, b := range parts {
		_, err := f.WriteAt(b, at)
		must(t, err)
	}
	return f
}

func blocks(t *testing.T, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestHolesOfFilesAreKept(t *testing.T) {
	for name, test := range map[string]struct {
		size  int64
		parts map[int64][]byte
	}{
		"all of it":            {1 << 40, nil},
		"before and behind":    {100 << 20, map[int64][]byte{50 << 20: noise(1, 3<<20)}},
		"data at the ends":     {100 << 20, map[int64][]byte{0: noise(1, 4096), 100<<20 - 5000: noise(2, 5000)}},
		"short ones":           {10 << 20, map[int64][]byte{8192: noise(1, 4096), 65536: noise(2, 4096), 5 << 20: noise(3, 1)}},
		"a file without holes": {1 << 20, map[int64][]byte{0: noise(1, 1<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := sparseFile(t, test.size, test.parts)
			writer := w.writer(t)
			defer writer.Close()
			extents, n, err := writer.File(t.Context(), f, test.size)
			must(t, err)
			if n != test.size || len(extents) > 20 {
				t.Fatalf("%d bytes in %d extents, want %d", n, len(extents), test.size)
			}
			must(t, writer.Flush(t.Context()))
			e := contexts.Entry{Path: "f", Kind: contexts.File, Size: n, Extents: extents}
			copied := sparseFile(t, 0, nil)
			r, err := w.Open(t.Context(), e)
			must(t, err)
			defer r.Close()
			must(t, r.WriteFile(copied))
			info, err := copied.Stat()
			must(t, err)
			if had, has := blocks(t, f), blocks(t, copied); info.Size() != test.size || has > had+minHole*int64(len(test.parts)+1) {
				t.Errorf("the copy has %d bytes in %d, want %d in about %d", info.Size(), has, test.size, had)
			}
			for at, b := range test.parts {
				got := make([]byte, len(b))
				_, err := copied.ReadAt(got, at)
				if err != nil || !bytes.Equal(got, b) {
					t.Errorf("what was at %d is wrong, %v", at, err)
				}
			}
		})
	}
}

// minHole is what the package takes for a hole.
const minHole = 256 << 10

func TestAFileIsReadFromItsStart(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	for _, size := range []int{1000, 300_000} {
		content := noise(1, size)
		f := sparseFile(t, int64(size), map[int64][]byte{0: content})
		_, err := f.Seek(77, io.SeekStart)
		must(t, err)
		extents, n, err := writer.File(t.Context(), f, int64(size))
		must(t, err)
		must(t, writer.Flush(t.Context()))
		got := w.read(t, contexts.Entry{Path: "f", Kind: contexts.File, Size: n, Extents: extents})
		if !bytes.Equal(got, content) {
			t.Errorf("a file of %d bytes was stored as %d others", size, n)
		}
	}
}

func TestAPipeIsRead(t *testing.T) {
	w := newWorld()
	writer := w.writer(t)
	defer writer.Close()
	r, p, err := os.Pipe()
	must(t, err)
	defer r.Close()
	content := noise(1, 300_000)
	go func() {
		p.Write(content)
		p.Close()
	}()
	extents, n, err := writer.File(t.Context(), r, -1)
	must(t, err)
	must(t, writer.Flush(t.Context()))
	if got := w.read(t, contexts.Entry{Path: "f", Kind: contexts.File, Size: n, Extents: extents}); !bytes.Equal(got, content) {
		t.Errorf("a pipe with %d bytes was stored as %d others", len(content), n)
	}
}
