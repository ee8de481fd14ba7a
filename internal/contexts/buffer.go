package contexts

import (
	"math/bits"
	"sync"
)

// A buffer is memory that is used again.
type buffer struct{ b []byte }

// pools has buffers by the logarithm of their capacity, from 4 KB to 64 MB.
var pools [15]sync.Pool

func sizeClass(n int) int { return max(bits.Len(uint(max(n, 1)-1)), 12) - 12 }

// newBuffer returns n bytes of any content.
func newBuffer(n int) *buffer {
	class := sizeClass(n)
	if class >= len(pools) {
		return &buffer{make([]byte, n)}
	}
	if b, ok := pools[class].Get().(*buffer); ok {
		b.b = b.b[:n]
		return b
	}
	return &buffer{make([]byte, n, 1<<(class+12))}
}

// free gives the memory back. Nothing may use it any more.
func (b *buffer) free() {
	if class := sizeClass(cap(b.b)); cap(b.b) == 1<<(class+12) && class < len(pools) {
		pools[class].Put(&buffer{b.b})
	}
	b.b = nil
}

// grow makes room for n more bytes.
func (b *buffer) grow(n int) {
	if len(b.b)+n <= cap(b.b) {
		return
	}
	larger := newBuffer(len(b.b) + n)
	larger.b = larger.b[:copy(larger.b, b.b)]
	b.free()
	b.b = larger.b
}
