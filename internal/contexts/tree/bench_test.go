package tree_test

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agentbay/agentbay/internal/blob/dir"
)

var scale = flag.Float64("scale", 0.1, "of the trees that benchmarks move; 1 is 1 GB and 50,000 files")

// A shape is a tree to be moved.
type shape struct {
	name  string
	files int
	size  int
}

func shapes() []shape {
	return []shape{
		{"large", int(1000 * *scale), 1 << 20},
		{"small", int(50000 * *scale), 2 << 10},
	}
}

// grow writes files with content that cannot be compressed, a hundred a
// directory.
func (s shape) grow(b *testing.B, at string) {
	b.Helper()
	buf := make([]byte, s.size)
	for i := range s.files {
		rand.Read(buf)
		must(b, os.MkdirAll(filepath.Join(at, fmt.Sprint(i/100)), 0o755))
		must(b, os.WriteFile(s.file(at, i), buf, 0o644))
	}
}

func (s shape) file(at string, i int) string {
	return filepath.Join(at, fmt.Sprint(i/100), fmt.Sprint(i))
}

// change writes one file in a hundred anew.
func (s shape) change(b *testing.B, at string) {
	b.Helper()
	buf := make([]byte, s.size)
	for i := 0; i < s.files; i += 100 {
		rand.Read(buf)
		must(b, os.WriteFile(s.file(at, i), buf, 0o644))
	}
}

// benchWorld is a world with blobs on the disk, as a server has them.
func benchWorld(b *testing.B) *world {
	b.Helper()
	blobs, err := dir.Open(b.TempDir())
	must(b, err)
	return worldOn(b, blobs)
}

// each runs a benchmark for each shape. The function prepares, and returns what
// is measured.
func each(b *testing.B, prepare func(b *testing.B, s shape) (measured func())) {
	for _, s := range shapes() {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(s.files) * int64(s.size))
			for range b.N {
				b.StopTimer()
				run := prepare(b, s)
				b.StartTimer()
				run()
			}
		})
	}
}

func BenchmarkFirstSave(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		x := benchWorld(b).session()
		s.grow(b, x.Merged)
		return func() { x.save() }
	})
}

func BenchmarkUnchangedSave(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		x := benchWorld(b).session()
		s.grow(b, x.Merged)
		x.save()
		return func() { x.save() }
	})
}

func BenchmarkSaveOfOnePercent(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		x := benchWorld(b).session()
		s.grow(b, x.Merged)
		x.save()
		s.change(b, x.Merged)
		return func() { x.save() }
	})
}

// saved returns a world in which a session saved a tree.
func saved(b *testing.B, s shape) *world {
	b.Helper()
	w := benchWorld(b)
	x := w.session()
	s.grow(b, x.Merged)
	x.save()
	return w
}

func BenchmarkFirstCheckout(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		w := saved(b, s)
		cold := openCache(b, b.TempDir(), 0)
		return func() { w.checkout(cold) }
	})
}

func BenchmarkCheckoutThatIsThere(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		w := saved(b, s)
		w.checkout(w.cache)
		return func() { w.checkout(w.cache) }
	})
}

func BenchmarkCheckoutOfOnePercent(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		w := saved(b, s)
		x := w.session()
		s.change(b, x.Merged)
		x.save()
		return func() { w.checkout(w.cache) }
	})
}

// The thirteenth layer starts a squash.
func BenchmarkSquash(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		w := saved(b, s)
		x := w.session()
		for i := range 12 {
			x.write("changed", fmt.Sprint(i))
			x.save()
			w.checkout(w.cache)
		}
		return func() { w.flat(w.cache) }
	})
}

// What cp -a takes, to compare a first save and a first checkout with.
func BenchmarkCopy(b *testing.B) {
	each(b, func(b *testing.B, s shape) func() {
		from, to := b.TempDir(), b.TempDir()
		s.grow(b, from)
		return func() { must(b, exec.Command("cp", "-a", from, to).Run()) }
	})
}
