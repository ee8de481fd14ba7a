package contexts

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// cuts returns the lengths of the chunks of b.
func cuts(b []byte) (lengths []int) {
	for len(b) > 0 {
		n := cut(b)
		lengths, b = append(lengths, n), b[n:]
	}
	return lengths
}

func TestChunksHaveTheirSizes(t *testing.T) {
	lengths := cuts(random(1, 96<<20))
	slices.Sort(lengths[:len(lengths)-1])
	if least, most := lengths[0], lengths[len(lengths)-2]; least < minChunk || most > maxChunk {
		t.Errorf("chunks of %d to %d bytes", least, most)
	}
	average := 96 << 20 / len(lengths)
	if average < avgChunk*3/4 || average > avgChunk*4/3 {
		t.Errorf("chunks have %d bytes on average", average)
	}
	t.Logf("average %d, median %d, %d of %d at most", average, lengths[len(lengths)/2], count(lengths, maxChunk), len(lengths))
}

func count(lengths []int, n int) (k int) {
	for _, l := range lengths {
		if l == n {
			k++
		}
	}
	return k
}

// The chunks of what is stored already must be found again by every version.
func TestChunksEndWhereTheyAlwaysDid(t *testing.T) {
	got := cuts(random(2, 4<<20))
	if want := []int{704009, 593362, 314390, 654184, 603246, 648374, 527926, 148813}; !slices.Equal(got, want) {
		t.Errorf("chunks of %v bytes, want %v", got, want)
	}
}

func TestLookingAtSeveralPlacesFindsTheFirstEdge(t *testing.T) {
	content := random(4, 1<<20)
	for i, mask := range []uint64{0xff << 40, 0xfff << 40, 0xffff << 40, 0x3ffff << 40, hardMask} {
		for from := minChunk; from < len(content); from += 70_001 + i {
			for _, to := range []int{from, min(from+10_000, len(content)), len(content)} {
				end, ok := edge(content, from, to, mask)
				if first, is := firstEdge(content, from, to, mask); end != first || ok != is {
					t.Fatalf("from %d to %d with mask %x: %d, %v; the first is %d, %v", from, to, mask, end, ok, first, is)
				}
			}
		}
	}
}

func TestChunksFollowTheContent(t *testing.T) {
	content := random(3, 16<<20)
	known := map[[32]byte]bool{}
	for b := content; len(b) > 0; b = b[cut(b):] {
		known[sha256.Sum256(b[:cut(b)])] = true
	}
	moved := slices.Insert(slices.Clone(content), 1000, []byte("inserted")...)
	unknown := 0
	for b := moved; len(b) > 0; b = b[cut(b):] {
		if !known[sha256.Sum256(b[:cut(b)])] {
			unknown++
		}
	}
	if unknown > 3 {
		t.Errorf("an insertion made %d chunks new", unknown)
	}
}

func TestPackingIsUndone(t *testing.T) {
	for _, chunk := range [][]byte{{}, {1}, []byte(strings.Repeat("abc", 100)), random(1, 100), random(2, 1<<20), bytes.Repeat(random(3, 1000), 900)} {
		form, data := pack(nil, chunk)
		got, err := unpack(hash(chunk), append([]byte{form}, data...), int64(len(chunk)))
		if err != nil || !bytes.Equal(got, chunk) {
			t.Errorf("a chunk of %d bytes came back with %d, %v", len(chunk), len(got), err)
		}
		if len(data) > len(chunk) {
			t.Errorf("a chunk of %d bytes is stored in %d", len(chunk), len(data))
		}
	}
}

func BenchmarkCut(b *testing.B) {
	content := random(1, 64<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		cuts(content)
	}
}

func BenchmarkHash(b *testing.B) {
	content := random(1, 1<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		hash(content)
	}
}

func BenchmarkPack(b *testing.B) {
	text := bytes.Repeat([]byte("func main() { return errors.New(\"nothing but text\") }\n"), 10000)
	for i := range text {
		if i%37 == 0 {
			text[i] = byte('a' + i%23)
		}
	}
	for _, bench := range []struct {
		name string
		b    []byte
	}{{"noise", random(1, 512<<10)}, {"text", text[:512<<10]}} {
		b.Run(bench.name, func(b *testing.B) {
			scratch := make([]byte, 1<<20)
			b.SetBytes(int64(len(bench.b)))
			for b.Loop() {
				pack(scratch, bench.b)
			}
		})
	}
}

func BenchmarkIsZero(b *testing.B) {
	b.SetBytes(1 << 20)
	z := make([]byte, 1<<20)
	for b.Loop() {
		isZero(z)
	}
}
