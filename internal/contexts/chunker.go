package contexts

// Files are cut into chunks of these sizes. Small ones make small changes cheap;
// large ones make the index small and reading fast.
const (
	minChunk = 256 << 10
	avgChunk = 512 << 10
	maxChunk = 2 << 20
)

// A chunk ends where the hash of the 64 bytes before it has no bit of the mask.
// Below the average size the mask has two bits more than it would take, above
// it two less: that keeps most sizes near the average.
const (
	hardMask = (avgChunk<<2 - 1) << 40
	easyMask = (avgChunk>>2 - 1) << 40
)

// gear maps a byte to a random number. It decides where chunks end, and so must
// never change.
var gear = func() (table [256]uint64) {
	x := uint64(0x6167656e74626179)
	for i := range table { // SplitMix64
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		table[i] = z ^ z>>31
	}
	return table
}()

// cut returns the length of the first chunk of b, which must be all that is
// left, or at least maxChunk bytes.
func cut(b []byte) int {
	if len(b) <= minChunk {
		return len(b)
	}
	b = b[:min(len(b), maxChunk)]
	normal := min(len(b), avgChunk)
	if end, ok := edge(b, minChunk, normal, hardMask); ok {
		return end
	}
	if end, ok := edge(b, normal, len(b), easyMask); ok {
		return end
	}
	return len(b)
}

// edge looks for the end of a chunk from a place in b to another. A processor
// does several things at once that do not depend on each other, so it is faster
// to look at four places: what was 64 bytes ago has left the hash, which can
// thus begin anywhere.
func edge(b []byte, from, to int, mask uint64) (end int, ok bool) {
	const stride = 2048
	for ; from+4*stride <= to; from += 4 * stride {
		s0, s1, s2, s3 := b[from:][:stride], b[from+stride:][:stride], b[from+2*stride:][:stride], b[from+3*stride:][:stride]
		h0, h1, h2, h3 := gearAt(b, from), gearAt(b, from+stride), gearAt(b, from+2*stride), gearAt(b, from+3*stride)
		for i := range stride {
			h0 = h0<<1 + gear[s0[i]]
			h1 = h1<<1 + gear[s1[i]]
			h2 = h2<<1 + gear[s2[i]]
			h3 = h3<<1 + gear[s3[i]]
			if h0&mask == 0 || h1&mask == 0 || h2&mask == 0 || h3&mask == 0 {
				if end, ok := firstEdge(b, from, from+4*stride, mask); ok {
					return end, true
				}
			}
		}
	}
	return firstEdge(b, from, to, mask)
}

// firstEdge does what edge does, one byte after the other.
func firstEdge(b []byte, from, to int, mask uint64) (end int, ok bool) {
	h := gearAt(b, from)
	for i, c := range b[from:to] {
		h = h<<1 + gear[c]
		if h&mask == 0 {
			return from + i + 1, true
		}
	}
	return 0, false
}

// gearAt is the hash before a place in a chunk. It begins behind minChunk.
func gearAt(b []byte, at int) (h uint64) {
	for _, c := range b[max(minChunk, at-64):at] {
		h = h<<1 + gear[c]
	}
	return h
}

// isZero reports whether b has nothing but zeros.
func isZero(b []byte) bool {
	const step = 4096
	for len(b) >= step {
		if string(b[:step]) != zeros {
			return false
		}
		b = b[step:]
	}
	return string(b) == zeros[:len(b)]
}

var zeros = string(make([]byte, 4096))
