package blob_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"testing"

	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/blob/s3"
	"github.com/agentbay/agentbay/internal/blob/s3/s3test"
)

// drivers are the stores to compare, each opened empty.
var drivers = []struct {
	name string
	open func(*testing.B) (blob.Store, error)
}{
	{"dir", func(b *testing.B) (blob.Store, error) { return dir.Open(b.TempDir()) }},
	{"s3", func(b *testing.B) (blob.Store, error) { return s3.Open(s3test.Start(b).Options) }},
}

var sizes = []int{1 << 20, 32 << 20}

// compare runs a benchmark of each driver with a blob of each size.
func compare(b *testing.B, run func(*testing.B, blob.Store, []byte)) {
	for _, d := range drivers {
		b.Run(d.name, func(b *testing.B) {
			s, err := d.open(b)
			if err != nil {
				b.Fatal(err)
			}
			for _, size := range sizes {
				b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
					content := make([]byte, size)
					rand.Read(content)
					b.SetBytes(int64(size))
					run(b, s, content)
				})
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	compare(b, func(b *testing.B, s blob.Store, content []byte) {
		for b.Loop() {
			if err := s.Put(b.Context(), "a", bytes.NewReader(content), int64(len(content))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	compare(b, func(b *testing.B, s blob.Store, content []byte) {
		if err := s.Put(b.Context(), "a", bytes.NewReader(content), int64(len(content))); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			r, err := s.Get(b.Context(), "a", 0, -1)
			if err != nil {
				b.Fatal(err)
			}
			n, err := io.Copy(io.Discard, r)
			r.Close()
			if err != nil || n != int64(len(content)) {
				b.Fatalf("%d bytes, %v", n, err)
			}
		}
	})
}
