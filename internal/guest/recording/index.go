package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// # The index of a video
//
// An encoder that writes to a pipe makes an MP4 of fragments (ISO/IEC 14496-12,
// 8.8): a header "moov" without samples, and then for each fragment a "moof",
// which describes samples, and an "mdat", which has them. The index is another
// "moov", with the samples of all fragments. Once it stands at the end of the
// file, the fragments are hidden in one large "mdat", whose head takes the place
// of a box "free" that was left for it before the first header; the index points
// into that. Nothing of the video is copied for it.

var be = binary.BigEndian

// errOdd is the error of a video that is not what the encoder is asked to make.
var errOdd = errors.New("the encoder's video cannot be indexed")

const boxHead = 8 // a box's length and name

// box appends a box to b.
func box(b []byte, name string, contents ...[]byte) []byte {
	n := boxHead
	for _, c := range contents {
		n += len(c)
	}
	b = append(be.AppendUint32(b, uint32(n)), name...)
	for _, c := range contents {
		b = append(b, c...)
	}
	return b
}

// eachBox yields the boxes in b, heads included.
func eachBox(b []byte, yield func(name string, box []byte) error) error {
	for len(b) > 0 {
		if len(b) < boxHead || be.Uint32(b) < boxHead || uint64(be.Uint32(b)) > uint64(len(b)) {
			return errOdd
		}
		n := be.Uint32(b)
		if err := yield(string(b[4:8]), b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// A run is a number of samples that are alike, or chunks that are.
type run struct{ count, value uint32 }

// push counts one more.
func push(runs []run, value uint32) []run {
	if n := len(runs); n > 0 && runs[n-1].value == value {
		runs[n-1].count++
		return runs
	}
	return append(runs, run{1, value})
}

// An index is made while fragments come.
type index struct {
	moov []byte // the header that the encoder made

	sizes     []uint32
	sync      []uint32 // numbers of the samples that need none before them
	durations []run
	chunks    []uint64 // where each begins in the file
	perChunk  []run
	length    uint64 // in the time scale of the video
}

// size bounds how long the index is going to be, in bytes.
func (x *index) size() int64 {
	const tables = 200 // heads
	return int64(len(x.moov) + 4*len(x.sizes) + 4*len(x.sync) + 8*len(x.durations) + 8*len(x.chunks) + 12*len(x.perChunk) + tables)
}

// The flags of track fragments (8.8.7 and 8.8.8) and of samples (8.8.3.1).
const (
	hasBaseOffset  = 0x1
	hasDescription = 0x2
	hasDuration    = 0x8
	hasSize        = 0x10
	hasFlags       = 0x20

	hasDataOffset   = 0x1
	hasFirstFlags   = 0x4
	eachHasDuration = 0x100
	eachHasSize     = 0x200
	eachHasFlags    = 0x400
	eachHasOffset   = 0x800

	notSync = 0x10000
)

// sample is what a fragment says of its samples unless one says otherwise.
type sample struct{ duration, size, flags uint32 }

// A chunk is samples that lie one after the other in the file.
type chunk struct {
	at      int64
	samples []sample
}

// cost bounds by how much a chunk makes the index longer, in bytes.
func (c chunk) cost() int64 { return 8 + 12 + int64(len(c.samples))*(4+4+8) }

// readFragment reads which chunks are in a fragment whose "moof" begins at a
// place in the file.
func readFragment(moof []byte, at int64) (chunks []chunk, err error) {
	return chunks, eachBox(moof[boxHead:], func(name string, b []byte) error {
		if name != "traf" {
			return nil
		}
		var usual sample
		return eachBox(b[boxHead:], func(name string, b []byte) (err error) {
			var c chunk
			switch name {
			case "tfhd":
				usual, err = readUsual(b)
			case "trun":
				c, err = readRun(b, at, usual)
				chunks = append(chunks, c)
			}
			return err
		})
	})
}

// fields reads numbers of 32 bits, one after the other.
type fields struct {
	b     []byte
	short bool // there were fewer than were read
}

func (f *fields) next() uint32 {
	if len(f.b) < 4 {
		f.short = true
		return 0
	}
	v := be.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

// nextIf reads one if flags say that it is there.
func (f *fields) nextIf(flags, flag, otherwise uint32) uint32 {
	if flags&flag == 0 {
		return otherwise
	}
	return f.next()
}

func readUsual(tfhd []byte) (s sample, err error) {
	f := fields{b: tfhd[boxHead:]}
	flags := f.next() & 0xffffff
	f.next() // the track; there is one
	if flags&hasBaseOffset != 0 {
		return s, errOdd
	}
	f.nextIf(flags, hasDescription, 0)
	s.duration = f.nextIf(flags, hasDuration, 0)
	s.size = f.nextIf(flags, hasSize, 0)
	s.flags = f.nextIf(flags, hasFlags, 0)
	if f.short {
		return s, errOdd
	}
	return s, nil
}

// maxRun bounds the samples of a run, of which an encoder makes some in a second.
const maxRun = 10000

// readRun reads a run of samples of a fragment that begins at moof.
func readRun(trun []byte, moof int64, usual sample) (c chunk, err error) {
	f := fields{b: trun[boxHead:]}
	flags := f.next() & 0xffffff
	count := f.next()
	c.at = moof + int64(int32(f.nextIf(flags, hasDataOffset, 0)))
	if count > maxRun || flags&hasDataOffset == 0 || c.at < 0 {
		return c, errOdd
	}
	first := f.nextIf(flags, hasFirstFlags, usual.flags)
	for i := range count {
		s := usual
		if i == 0 {
			s.flags = first
		}
		s.duration = f.nextIf(flags, eachHasDuration, s.duration)
		s.size = f.nextIf(flags, eachHasSize, s.size)
		s.flags = f.nextIf(flags, eachHasFlags, s.flags)
		f.nextIf(flags, eachHasOffset, 0) // the encoder shows samples in their order
		c.samples = append(c.samples, s)
	}
	if f.short {
		return c, errOdd
	}
	return c, nil
}

// add indexes a chunk that has come.
func (x *index) add(c chunk) {
	if len(c.samples) == 0 {
		return
	}
	for _, s := range c.samples {
		x.addSample(s)
	}
	x.chunks = append(x.chunks, uint64(c.at))
	x.perChunk = push(x.perChunk, uint32(len(c.samples)))
}

func (x *index) addSample(s sample) {
	x.sizes = append(x.sizes, s.size)
	x.durations = push(x.durations, s.duration)
	x.length += uint64(s.duration)
	if s.flags&notSync == 0 {
		x.sync = append(x.sync, uint32(len(x.sizes)))
	}
}

// finished is the index, a "moov" like the header's but for the samples.
func (x *index) finished() ([]byte, error) {
	scale, err := x.timeScale()
	if err != nil {
		return nil, err
	}
	return x.rebuild(x.moov, scale)
}

// timeScale is how many units of the video's time make a second.
func (x *index) timeScale() (scale uint32, err error) {
	var find func(name string, b []byte) error
	find = func(name string, b []byte) error {
		switch name {
		case "moov", "trak", "mdia":
			return eachBox(b[boxHead:], find)
		case "mdhd":
			f := fields{b: b[boxHead:]}
			for range 3 {
				f.next() // version, when it was made and changed
			}
			scale = f.next()
		}
		return nil
	}
	err = eachBox(x.moov, find)
	if err == nil && scale == 0 {
		err = errOdd
	}
	return scale, err
}

// rebuild is a box of the header as it stands in the index.
func (x *index) rebuild(b []byte, scale uint32) (out []byte, err error) {
	name := string(b[4:8])
	switch name {
	case "moov", "trak", "mdia", "minf", "stbl":
		var inside []byte
		err = eachBox(b[boxHead:], func(_ string, child []byte) error {
			c, err := x.rebuild(child, scale)
			inside = append(inside, c...)
			return err
		})
		return box(nil, name, inside), err
	case "mvhd":
		return x.timed(b, 4, milliseconds(x.length, scale))
	case "tkhd":
		return x.timed(b, 5, milliseconds(x.length, scale))
	case "mdhd":
		return x.timed(b, 4, x.length)
	case "mvex", "stts", "stsc", "stsz": // there are fragments; and tables of none
		return nil, nil
	case "stco":
		return x.tables(), nil
	}
	return b, nil
}

// milliseconds is the unit of a whole file, which the encoder chose.
func milliseconds(length uint64, scale uint32) uint64 { return length * 1000 / uint64(scale) }

// timed is a box with its duration, the number after some others.
func (x *index) timed(b []byte, others int, duration uint64) ([]byte, error) {
	at := boxHead + 4*others
	if len(b) < at+4 || b[boxHead] != 0 { // the version with numbers of 32 bits
		return nil, fmt.Errorf("%w: %s", errOdd, b[4:8])
	}
	b = append([]byte(nil), b...)
	be.PutUint32(b[at:], uint32(min(duration, math.MaxUint32)))
	return b, nil
}

// tables say where the samples are and when each is shown (8.6 and 8.7).
func (x *index) tables() (b []byte) {
	b = box(b, "stts", numbers(0, len(x.durations)), pairs(x.durations))
	if len(x.sync) < len(x.sizes) {
		b = box(b, "stss", numbers(0, len(x.sync)), numbers(x.sync...))
	}
	b = box(b, "stsc", numbers(0, len(x.perChunk)), x.chunkRuns())
	b = box(b, "stsz", numbers(0, 0, len(x.sizes)), numbers(x.sizes...))
	var at []byte
	for _, c := range x.chunks {
		at = be.AppendUint64(at, c)
	}
	return box(b, "co64", numbers(0, len(x.chunks)), at)
}

// chunkRuns says from which chunk on there are how many samples in each.
func (x *index) chunkRuns() (b []byte) {
	first := uint32(1)
	for _, r := range x.perChunk {
		b = append(b, numbers(first, r.value, 1)...)
		first += r.count
	}
	return b
}

func numbers[N ~int | ~uint32](all ...N) (b []byte) {
	for _, n := range all {
		b = be.AppendUint32(b, uint32(n))
	}
	return b
}

func pairs(runs []run) (b []byte) {
	for _, r := range runs {
		b = append(b, numbers(r.count, r.value)...)
	}
	return b
}
