package contexts

import (
	"encoding/binary"
	"errors"
)

// A decoding takes values off the front of b. What goes wrong is remembered, and
// everything is zero from then on.
type decoding struct {
	b   []byte
	err error
}

var errMalformed = errors.New("malformed")

func (d *decoding) fail() {
	d.b, d.err = nil, errMalformed
}

// end returns what went wrong; bytes that are left over are wrong too.
func (d *decoding) end() error {
	if len(d.b) > 0 {
		d.fail()
	}
	return d.err
}

func (d *decoding) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

// number reads a number from 0 to limit.
func (d *decoding) number(limit int64) int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(limit) {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

// signed reads any number.
func (d *decoding) signed() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things of at least size bytes each follow, so that what
// is claimed is never more than what is there.
func (d *decoding) count(size int) int { return int(d.number(int64(len(d.b) / size))) }

func (d *decoding) bytes(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoding) id() (id ID) {
	copy(id[:], d.bytes(len(id)))
	return id
}
