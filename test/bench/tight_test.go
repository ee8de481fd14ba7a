package bench

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"sync"
)

// A tightReader reads the encoding Tight, but for the gradients that Xvnc does not send.
// What it reads it decodes later, so that this does not keep the processor from
// the session that is measured.
type tightReader struct {
	in     *bufio.Reader
	packed [4]bytes.Buffer
	plain  [4]io.Reader // from packed; nil before the first byte
}

// What a rectangle says it is, in the upper half of its first byte; everything
// below is compressed pixels, and says in which stream and whether a filter follows.
const (
	tightFill   = 8
	tightJPEG   = 9
	tightFilter = 4
)

// read reads a rectangle and returns what decodes it. That has to be called in the
// order of the rectangles, and may be called again.
func (t *tightReader) read(size image.Point) (func() (image.Image, error), error) {
	control, err := t.in.ReadByte()
	if err != nil {
		return nil, err
	}
	var decode func() (image.Image, error)
	switch kind := control >> 4; {
	case kind == tightFill:
		decode, err = t.readFill()
	case kind == tightJPEG:
		decode, err = t.readJPEG()
	case kind < tightFill:
		decode, err = t.readPixels(size, int(kind&3), kind&tightFilter != 0)
	default:
		err = fmt.Errorf("tight %d", kind)
	}
	return sync.OnceValues(func() (image.Image, error) {
		t.reset(control)
		return decode()
	}), err
}

// reset begins those streams anew that the first byte of a rectangle names.
func (t *tightReader) reset(control byte) {
	for i := range t.plain {
		if control>>i&1 != 0 {
			t.packed[i].Reset()
			t.plain[i] = nil
		}
	}
}

func (t *tightReader) readFill() (func() (image.Image, error), error) {
	c, err := take(t.in, 3)
	return func() (image.Image, error) { return image.NewUniform(color.RGBA{c[0], c[1], c[2], 255}), nil }, err
}

func (t *tightReader) readJPEG() (func() (image.Image, error), error) {
	data, err := takeCompact(t.in)
	return func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) }, err
}

// readPixels reads a rectangle of three bytes a pixel, or of indexes to a palette:
// one bit a pixel if that has two colours, or a byte.
func (t *tightReader) readPixels(size image.Point, stream int, filtered bool) (func() (image.Image, error), error) {
	palette, err := t.readPalette(filtered)
	if err != nil {
		return nil, err
	}
	row, at := 3*size.X, func(row []byte, x int) []byte { return row[3*x:] }
	switch {
	case len(palette) == 2*3:
		row, at = (size.X+7)/8, func(row []byte, x int) []byte { return palette[3*(row[x/8]>>(7-x%8)&1):] }
	case len(palette) > 0:
		row, at = size.X, func(row []byte, x int) []byte { return palette[3*int(row[x]):] }
	}
	pixels, err := t.readBytes(row*size.Y, stream)
	return func() (image.Image, error) {
		data, err := pixels()
		if err != nil {
			return nil, err
		}
		picture := image.NewRGBA(image.Rectangle{Max: size})
		for y := range size.Y {
			for x := range size.X {
				c := at(data[y*row:], x)
				picture.SetRGBA(x, y, color.RGBA{c[0], c[1], c[2], 255})
			}
		}
		return picture, nil
	}, err
}

// readPalette reads the filter of a rectangle and, if that is a palette, its
// colours of three bytes.
func (t *tightReader) readPalette(filtered bool) ([]byte, error) {
	if !filtered {
		return nil, nil
	}
	filter, err := t.in.ReadByte()
	if err != nil || filter == 0 {
		return nil, err
	}
	if filter != 1 {
		return nil, fmt.Errorf("tight filter %d", filter)
	}
	n, err := t.in.ReadByte()
	if err != nil {
		return nil, err
	}
	return take(t.in, 3*(int(n)+1))
}

// readBytes reads what is n bytes when it is decompressed; so few are not compressed.
func (t *tightReader) readBytes(n, stream int) (func() ([]byte, error), error) {
	if n < 12 {
		data, err := take(t.in, n)
		return func() ([]byte, error) { return data, nil }, err
	}
	data, err := takeCompact(t.in)
	return func() (_ []byte, err error) {
		t.packed[stream].Write(data)
		if t.plain[stream] == nil {
			if t.plain[stream], err = zlib.NewReader(&t.packed[stream]); err != nil {
				return nil, err
			}
		}
		return take(t.plain[stream], n)
	}, err
}

func take(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// takeCompact reads bytes with their number before them, seven bits a byte.
func takeCompact(in *bufio.Reader) ([]byte, error) {
	n := 0
	for shift := 0; shift < 21; shift += 7 {
		b, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return take(in, n)
}
