package contexts

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A buffer is memory that is used again once nobody holds it.
type buffer struct {
	b     []byte
	holds atomic.Int32 // besides the first
}

// pools has buffers by the logarithm of their capacity, from 4 KB to 16 MB.
var pools [13]sync.Pool

func sizeClass(n int) int { return max(bits.Len(uint(max(n, 1)-1)), 12) - 12 }

// newBuffer returns n bytes of any content, which the caller holds.
func newBuffer(n int) *buffer {
	class := sizeClass(n)
	if class >= len(pools) {
		return &buffer{b: make([]byte, n)}
	}
	if b, ok := pools[class].Get().(*buffer); ok {
		b.b = b.b[:n]
		return b
	}
	return &buffer{b: make([]byte, n, 1<<(class+12))}
}

// hold keeps the buffer for one more user.
func (b *buffer) hold() *buffer {
	b.holds.Add(1)
	return b
}

// free gives the memory back when it was called once by each who holds it.
func (b *buffer) free() {
	if b.holds.Add(-1) >= 0 {
		return
	}
	b.holds.Store(0)
	if class := sizeClass(cap(b.b)); class < len(pools) && cap(b.b) == 1<<(class+12) {
		pools[class].Put(b)
	}
}
