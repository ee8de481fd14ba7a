package contexts

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/klauspost/compress"
	"github.com/klauspost/compress/zstd"
)

// hash names a chunk.
func hash(b []byte) ID { return sha256.Sum256(b) }

// maxPiece bounds what one chunk, page or root can be.
const maxPiece = 16 << 20

// The first byte of what is stored says how the rest is packed.
const (
	asIs       = 0
	compressed = 1
)

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPiece), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// pack returns how a chunk is stored. What is compressed is put into scratch, if
// there is room.
func pack(scratch, chunk []byte) (form byte, data []byte) {
	if worthPacking(chunk) {
		data = encoder().EncodeAll(chunk, scratch[:0])
		if len(data) < len(chunk) {
			return compressed, data
		}
	}
	return asIs, chunk
}

// worthPacking looks at a part of large chunks, to lose no time with those that
// are compressed or encrypted already.
func worthPacking(chunk []byte) bool {
	const (
		sample = 16 << 10
		worth  = 0.05 // samples of noise are estimated at up to this
	)
	if len(chunk) < 64 {
		return false
	}
	if len(chunk) < 4*sample {
		return true
	}
	middle := len(chunk) / 2
	return compress.Estimate(chunk[middle:middle+sample]) > worth || compress.Estimate(chunk[:sample]) > worth
}

// unpack undoes pack, given the form and behind it the data, and proves that it
// is what was asked for. The result may share memory with stored.
func unpack(id ID, stored []byte, size int64) ([]byte, error) {
	if len(stored) == 0 || size < 0 || size > maxPiece {
		return nil, &damage{id, "is not a chunk"}
	}
	chunk := stored[1:]
	switch stored[0] {
	case asIs:
	case compressed:
		var err error
		if chunk, err = decoder().DecodeAll(chunk, make([]byte, 0, size)); err != nil {
			return nil, &damage{id, "cannot be decompressed"}
		}
	default:
		return nil, &damage{id, fmt.Sprintf("is stored in a way (%d) that this version does not know", stored[0])}
	}
	if hash(chunk) != id {
		return nil, &damage{id, "is not what was stored"}
	}
	return chunk, nil
}
