package bench

import (
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

var (
	scale  = flag.Float64("scale", 1, "of the trees that are saved and mounted; 1 is 1 GB in 1,000 files and 50,000 small files")
	rounds = flag.Int("rounds", 3, "how often trees are saved and mounted")
)

// A shape is a tree of files that cannot be compressed, a hundred a directory.
type shape struct {
	name  string
	files int
	size  int64
}

// shapes are the trees that are compared.
func shapes() []shape {
	return []shape{
		{"1000x1MB", max(int(1000**scale), 1), 1 << 20},
		{"50000x2KB", max(int(50_000**scale), 1), 2 << 10},
	}
}

func (s shape) bytes() int64 { return int64(s.files) * s.size }

// file is where the file of that number is.
func (s shape) file(at string, i int) string {
	return filepath.Join(at, fmt.Sprint(i/100), fmt.Sprint(i))
}

// grow writes the tree.
func (s shape) grow(b *testing.B, at string) { s.write(b, at, 0, 1) }

// change writes one file in a hundred anew, others in each turn.
func (s shape) change(b *testing.B, at string, turn int) { s.write(b, at, turn%100, 100) }

func (s shape) write(b *testing.B, at string, first, step int) {
	b.Helper()
	content := make([]byte, s.size)
	for i := first; i < s.files; i += step {
		rand.Read(content)
		must(b, os.MkdirAll(filepath.Dir(s.file(at, i)), 0o755))
		must(b, os.WriteFile(s.file(at, i), content, 0o644))
	}
}

// warm reads the tree, so that nobody who reads it later has to wait for the
// disk.
func (s shape) warm(b *testing.B, at string) {
	b.Helper()
	for i := range s.files {
		f, err := os.Open(s.file(at, i))
		must(b, err)
		_, err = io.Copy(io.Discard, f)
		must(b, err)
		must(b, f.Close())
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// settle waits until what was written so far is on the disk, so that nobody
// waits for it later.
func settle(b *testing.B, dir string) {
	b.Helper()
	command(b, nil, "sync", "-f", dir)
}

func command(b *testing.B, env []string, args ...string) {
	b.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// A results has the times of operations, by who did them.
type results struct {
	names []string
	times map[string]*times
}

func (r *results) measure(name string, f func()) {
	t := r.times[name]
	if t == nil {
		if r.times == nil {
			r.times = map[string]*times{}
		}
		t = new(times)
		r.times[name] = t
		r.names = append(r.names, name)
	}
	t.measure(f)
}

// report makes a benchmark of each, in the order of the first round.
func (r *results) report(b *testing.B) {
	for _, name := range r.names {
		t := slices.Sorted(slices.Values(*r.times[name]))
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(ms(t[len(t)/2]), "p50-ms")
			b.ReportMetric(ms(t[0]), "best-ms")
		})
	}
}
