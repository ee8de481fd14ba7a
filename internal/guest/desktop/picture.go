package desktop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"hash/maphash"
	"image"
	"image/jpeg"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"

	"github.com/agentbay/agentbay/internal/guest"
)

// A format makes files of pictures out of strips that are encoded side by side.
type format struct {
	mime string
	rows int // of a strip, but for the last
	make func(p Picture, from, to int) (strip, error)
	join func(p Picture, rows int, all []strip) ([]byte, error)
}

// A strip is some rows of a picture, encoded.
type strip struct {
	bytes []byte
	sum   uint32 // what the format wants to know of its rows
}

func newPNG() *encoder  { return &encoder{format: format{"image/png", 64, deflate, joinPNG}} }
func newJPEG() *encoder { return &encoder{format: format{"image/jpeg", 32, makeJPEG, joinJPEG}} }

// encoder is the one of a format.
func (d *Desktop) encoder(name string) (*encoder, error) {
	d.once.Do(func() { d.png, d.jpeg = newPNG(), newJPEG() })
	switch strings.ToLower(name) {
	case "", "png":
		return d.png, nil
	case "jpeg", "jpg":
		return d.jpeg, nil
	}
	return nil, guest.Failf(guest.BadArgument, "there is no format %q; use png or jpeg", clip(name))
}

// An encoder makes files of pictures of one screen. Most of a screen is as it was
// in the picture before, so the encoder keeps the strips it made and makes those
// anew whose pixels have changed.
type encoder struct {
	format

	mu            sync.Mutex
	width, height int      // of the picture before; guarded by mu
	sums          []uint64 // of the pixels of its strips; guarded by mu
	strips        []strip  // guarded by mu
}

// seed makes it impossible to draw two strips that are taken for each other.
var seed = maphash.MakeSeed()

// encode makes a file of a picture.
func (e *encoder) encode(p Picture) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := (p.Height + e.rows - 1) / e.rows
	if e.width != p.Width || e.height != p.Height {
		e.width, e.height = p.Width, p.Height
		e.sums, e.strips = make([]uint64, n), make([]strip, n)
	}
	errs := make([]error, n)
	var next atomic.Int32
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = e.refresh(p, i, i*e.rows, min((i+1)*e.rows, p.Height))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e.join(p, e.rows, e.strips)
}

// refresh makes one strip, unless it is as it was. Different ones may be
// refreshed at once.
func (e *encoder) refresh(p Picture, i, from, to int) (err error) {
	var h maphash.Hash
	h.SetSeed(seed)
	for y := from; y < to; y++ {
		h.Write(p.Pix[y*p.Stride:][:4*p.Width])
	}
	sum := h.Sum64()
	if e.strips[i].bytes != nil && e.sums[i] == sum {
		return nil
	}
	e.strips[i], err = e.make(p, from, to)
	e.sums[i] = sum
	return err
}

// jpegQuality keeps small text readable.
const jpegQuality = 85

// unit is how many rows and columns of pixels are encoded together.
const unit = 16

// makeJPEG makes a JPEG of some rows, with colours at half the resolution.
func makeJPEG(p Picture, from, to int) (strip, error) {
	img := image.NewRGBA(image.Rect(0, from, p.Width, to))
	for y := from; y < to; y++ {
		row, out := p.Pix[y*p.Stride:][:4*p.Width], img.Pix[(y-from)*img.Stride:][:4*p.Width]
		for i := 0; i+3 < len(row); i += 4 {
			out[i], out[i+1], out[i+2], out[i+3] = row[i+2], row[i+1], row[i], 0xff
		}
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, img, &jpeg.Options{Quality: jpegQuality})
	return strip{bytes: out.Bytes()}, err
}

// joinJPEG makes one JPEG of strips of it, at restart markers, after which a
// decoder begins anew (ITU-T T.81, E.1.4).
func joinJPEG(p Picture, rows int, strips []strip) ([]byte, error) {
	const startOfFrame, startOfScan, restartInterval, restart = 0xc0, 0xda, 0xdd, 0xd0
	units := (rows + unit - 1) / unit * ((p.Width + unit - 1) / unit)
	var out []byte
	for i, s := range strips {
		b, scan := s.bytes, -1
		for at := 2; at+4 <= len(b) && scan < 0; { // after the start of the image
			size := 2 + int(binary.BigEndian.Uint16(b[at+2:]))
			switch b[at+1] {
			case startOfFrame:
				binary.BigEndian.PutUint16(b[at+5:], uint16(p.Height))
			case startOfScan:
				scan = at + size
				if i == 0 {
					out = append(out, b[:at]...)
					out = append(out, 0xff, restartInterval, 0, 4, byte(units>>8), byte(units))
					out = append(out, b[at:scan]...)
				}
			}
			at += size
		}
		if scan < 0 {
			return nil, errors.New("a strip of the picture is no JPEG")
		}
		if i > 0 {
			out = append(out, 0xff, restart+byte((i-1)%8))
		}
		out = append(out, b[scan:len(b)-2]...) // but for the end of the image
	}
	return append(out, 0xff, 0xd9), nil
}

// joinPNG makes a PNG of 24 bits a pixel. Package image/png takes several times
// as long: it tries every filter for each row, on one processor. Here each row is
// stored as its difference from the one above, which suits screens (RFC 1950 and
// 1951 let what is compressed be joined).
func joinPNG(p Picture, rows int, strips []strip) ([]byte, error) {
	header := binary.BigEndian.AppendUint32(nil, uint32(p.Width))
	header = binary.BigEndian.AppendUint32(header, uint32(p.Height))
	size, sum := 0, uint32(1)
	for i, s := range strips {
		size += len(s.bytes)
		sum = joinAdler(sum, s.sum, (min((i+1)*rows, p.Height)-i*rows)*(1+3*p.Width))
	}
	data := make([]byte, 0, size+100)
	data = append(data, 0x78, 0x01) // deflate, a window of 32 KiB, fastest
	for _, s := range strips {
		data = append(data, s.bytes...)
	}
	data = append(data, 0x01, 0x00, 0x00, 0xff, 0xff) // an empty last block
	data = binary.BigEndian.AppendUint32(data, sum)
	var out bytes.Buffer
	out.Grow(size + 200)
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk(&out, "IHDR", append(header, 8, 2, 0, 0, 0)) // 8 bits of red, green and blue
	chunk(&out, "IDAT", data)
	chunk(&out, "IEND", nil)
	return out.Bytes(), nil
}

// chunk writes one chunk of a PNG.
func chunk(out *bytes.Buffer, kind string, data []byte) {
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], uint32(len(data)))
	out.Write(word[:])
	start := out.Len()
	out.WriteString(kind)
	out.Write(data)
	binary.BigEndian.PutUint32(word[:], crc32.ChecksumIEEE(out.Bytes()[start:]))
	out.Write(word[:])
}

// writers keeps compressors, which are large.
var writers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // only a wrong level fails
	}
	return w
}}

// deflate compresses some rows, up to a place where others can follow.
func deflate(p Picture, from, to int) (s strip, err error) {
	var out bytes.Buffer
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	sum := adler32.New()
	row := make([]byte, 1+3*p.Width)
	for y := from; y < to; y++ {
		p.filter(row, y, y > from)
		sum.Write(row)
		if _, err := w.Write(row); err != nil {
			return s, err
		}
	}
	err = w.Flush()
	return strip{out.Bytes(), sum.Sum32()}, err
}

// filter makes what a PNG has of row y: a type, and the pixels, or their
// differences from the row above.
func (p Picture) filter(out []byte, y int, differences bool) {
	row := p.Pix[y*p.Stride:][:4*p.Width]
	if !differences {
		out[0] = 0
		for i, o := 0, out[1:]; len(o) >= 3; i, o = i+4, o[3:] {
			o[0], o[1], o[2] = row[i+2], row[i+1], row[i]
		}
		return
	}
	out[0] = 2
	above := p.Pix[(y-1)*p.Stride:][:4*p.Width]
	for i, o := 0, out[1:]; len(o) >= 3 && i+3 < len(row); i, o = i+4, o[3:] {
		o[0], o[1], o[2] = row[i+2]-above[i+2], row[i+1]-above[i+1], row[i]-above[i]
	}
}

// joinAdler is the Adler-32 of two pieces of data, of which the second has size
// bytes, by those of each.
func joinAdler(first, second uint32, size int) uint32 {
	const mod = 65521
	rem := uint32(size % mod)
	a1, b1 := first&0xffff, first>>16
	a2, b2 := second&0xffff, second>>16
	a := (a1 + a2 + mod - 1) % mod
	b := uint32((uint64(rem)*uint64(a1+mod-1) + uint64(b1) + uint64(b2)) % mod)
	return b<<16 | a
}
