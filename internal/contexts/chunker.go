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
	h := uint64(0)
	normal := min(len(b), avgChunk)
	for i, c := range b[minChunk:normal] {
		h = h<<1 + gear[c]
		if h&hardMask == 0 {
			return minChunk + i + 1
		}
	}
	for i, c := range b[normal:] {
		h = h<<1 + gear[c]
		if h&easyMask == 0 {
			return normal + i + 1
		}
	}
	return len(b)
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
