package contexts_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts"
)

// onDisk keeps blobs in a directory and the index in memory.
func onDisk(b *testing.B) *world {
	b.Helper()
	s, err := dir.Open(b.TempDir())
	must(b, err)
	return worldOf(s)
}

func BenchmarkFile(b *testing.B) {
	for _, bench := range []struct {
		name       string
		files, len int
	}{{"1 of 256 MB", 1, 256 << 20}, {"256 of 1 MB", 256, 1 << 20}, {"20000 of 2 KB", 20_000, 2 << 10}} {
		content := noise(1, bench.files*bench.len)
		b.Run(bench.name+" new", func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				b.StopTimer()
				w := onDisk(b)
				b.StartTimer()
				saveParts(b, w, content, bench.len)
			}
		})
		b.Run(bench.name+" known", func(b *testing.B) {
			w := onDisk(b)
			saveParts(b, w, content, bench.len)
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				saveParts(b, w, content, bench.len)
			}
		})
	}
}

// saveParts stores content as files of n bytes.
func saveParts(b *testing.B, w *world, content []byte, n int) {
	writer := w.writer(b)
	defer writer.Close()
	for at := 0; at < len(content); at += n {
		_, _, err := writer.File(b.Context(), bytes.NewReader(content[at:at+n]), int64(n))
		must(b, err)
	}
	must(b, writer.Flush(b.Context()))
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{64 << 20, 1 << 20, 2 << 10} {
		w := onDisk(b)
		files := map[string][]byte{}
		content := noise(1, 64<<20)
		for i := 0; i < min(len(content)/n, 20_000); i++ {
			files[fmt.Sprintf("%05d", i)] = content[i*n : (i+1)*n]
		}
		root := w.save(b, contexts.Root{}, files)
		b.Run(fmt.Sprintf("%d of %d KB", len(files), n>>10), func(b *testing.B) {
			b.SetBytes(int64(len(files) * n))
			for b.Loop() {
				for c, err := range w.Contents(b.Context(), w.Entries(b.Context(), root, "")) {
					must(b, err)
					_, err = c.File.WriteTo(io.Discard)
					must(b, err)
					c.File.Close()
				}
			}
		})
	}
}

const entriesInAll = 200_000

func manifest(b *testing.B) (*world, contexts.Root, []contexts.Change) {
	w := newWorld()
	changes := numbered(entriesInAll)
	return w, w.apply(b, contexts.Root{}, changes...), changes
}

func BenchmarkApply(b *testing.B) {
	w, root, changes := manifest(b)
	for _, bench := range []struct {
		name  string
		first int
		every int
		n     int
	}{{"1% scattered", 0, 100, 2000}, {"1% together", 100_000, 1, 2000}, {"one", 77_777, 1, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			mode := 0
			for b.Loop() {
				mode++
				some := make([]contexts.Change, bench.n)
				for i := range some {
					some[i] = changes[bench.first+i*bench.every]
					some[i].Entry.Size, some[i].Entry.Extents = int64(mode), []contexts.Extent{{Size: int64(mode)}}
				}
				w.apply(b, root, some...)
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			newWorld().apply(b, contexts.Root{}, changes...)
		}
	})
}

func BenchmarkManifest(b *testing.B) {
	w, root, changes := manifest(b)
	changed := changes[1234]
	changed.Entry.Mode = 0o600
	other := w.apply(b, root, changed)
	rng := rand.New(rand.NewPCG(1, 1))
	b.Run("Entries of 200000", func(b *testing.B) {
		for b.Loop() {
			for _, err := range w.Entries(b.Context(), root, "") {
				must(b, err)
			}
		}
	})
	b.Run("Lookup", func(b *testing.B) {
		for b.Loop() {
			_, err := w.Lookup(b.Context(), root, changes[rng.IntN(len(changes))].Path)
			must(b, err)
		}
	})
	b.Run("Children of 2000 directories", func(b *testing.B) {
		for b.Loop() {
			_, _, err := w.Children(b.Context(), root, "src", 1000, 50)
			must(b, err)
		}
	})
	b.Run("Diff of one", func(b *testing.B) {
		for b.Loop() {
			w.diff(b, root, other, "")
		}
	})
	b.Run("Collect", func(b *testing.B) {
		for b.Loop() {
			w.collect(b, root, other)
		}
	})
}
