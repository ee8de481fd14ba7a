package desktop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/jpeg"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/agentbay/agentbay/internal/guest"
)

// An encoder makes a file of a picture.
type encoder func(Picture) ([]byte, error)

// encoderOf finds the encoder of a format, and its MIME type.
func encoderOf(format string) (encoder, string, error) {
	switch strings.ToLower(format) {
	case "", "png":
		return encodePNG, "image/png", nil
	case "jpeg", "jpg":
		return encodeJPEG, "image/jpeg", nil
	}
	return nil, "", guest.Failf(guest.BadArgument, "there is no format %q; use png or jpeg", clip(format))
}

// jpegQuality keeps small text readable.
const jpegQuality = 85

// encodeJPEG makes a JPEG with colours at half the resolution. Strips are encoded
// side by side and joined at restart markers, after which a decoder begins anew
// (ITU-T T.81, E.1.4).
func encodeJPEG(p Picture) ([]byte, error) {
	const unit = 16 // rows of a row of minimum coded units
	img := image.NewYCbCr(image.Rect(0, 0, p.Width, p.Height), image.YCbCrSubsampleRatio420)
	units := (p.Height + unit - 1) / unit
	each := (units + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	each = max(min(each, math.MaxUint16*unit/(p.Width+unit)), 1)
	strips := make([]bytes.Buffer, (units+each-1)/each)
	errs := make([]error, len(strips))
	var all sync.WaitGroup
	for i := range strips {
		all.Go(func() {
			from, to := i*each*unit, min((i+1)*each*unit, p.Height)
			for y := from; y < to; y += 2 {
				p.toYCbCr(img, y)
			}
			part := img.SubImage(image.Rect(0, from, p.Width, to))
			errs[i] = jpeg.Encode(&strips[i], part, &jpeg.Options{Quality: jpegQuality})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return joinJPEG(strips, p.Height, each*((p.Width+unit-1)/unit))
}

// joinJPEG makes one JPEG of strips of it, which have as many units as said,
// but for the last.
func joinJPEG(strips []bytes.Buffer, height, units int) ([]byte, error) {
	const startOfFrame, startOfScan, restartInterval, restart = 0xc0, 0xda, 0xdd, 0xd0
	var out []byte
	for i := range strips {
		b := strips[i].Bytes()
		scan := -1
		for at := 2; at+4 <= len(b) && scan < 0; { // after the start of the image
			size := 2 + int(binary.BigEndian.Uint16(b[at+2:]))
			switch b[at+1] {
			case startOfFrame:
				binary.BigEndian.PutUint16(b[at+5:], uint16(height))
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

// toYCbCr converts two rows, from an even one. The numbers are those of JFIF,
// times 65536.
func (p Picture) toYCbCr(img *image.YCbCr, y int) {
	top := p.Pix[y*p.Stride:][:4*p.Width]
	bottom, two := top, y+1 < p.Height
	if two {
		bottom = p.Pix[(y+1)*p.Stride:][:4*p.Width]
	}
	cb, cr := img.Cb[y/2*img.CStride:], img.Cr[y/2*img.CStride:]
	lumaOf(img.Y[y*img.YStride:], top)
	if two {
		lumaOf(img.Y[(y+1)*img.YStride:], bottom)
	}
	for x := 0; x < p.Width; x += 2 {
		i, j := 4*x, 4*min(x+1, p.Width-1)
		b := int32(top[i]) + int32(top[j]) + int32(bottom[i]) + int32(bottom[j])
		g := int32(top[i+1]) + int32(top[j+1]) + int32(bottom[i+1]) + int32(bottom[j+1])
		r := int32(top[i+2]) + int32(top[j+2]) + int32(bottom[i+2]) + int32(bottom[j+2])
		cb[x/2] = byte(min(max((-11056*r-21712*g+32768*b+(257<<17))>>18, 0), 255))
		cr[x/2] = byte(min(max((32768*r-27440*g-5328*b+(257<<17))>>18, 0), 255))
	}
}

func lumaOf(out, row []byte) {
	for x := 0; 4*x+2 < len(row); x++ {
		b, g, r := uint32(row[4*x]), uint32(row[4*x+1]), uint32(row[4*x+2])
		out[x] = byte((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
	}
}

// inStrips does rows in as many strips as there are processors, and returns how
// many that were; each but the last has an even number of rows.
func inStrips(rows int, do func(strip, from, to int)) int {
	n := max(min(runtime.GOMAXPROCS(0), rows/64), 1)
	each := max((rows/n+1)&^1, 2)
	n = (rows + each - 1) / each
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i, i*each, min((i+1)*each, rows)) })
	}
	all.Wait()
	return n
}

// encodePNG makes a PNG of 24 bits a pixel. Package image/png takes several
// times as long: it tries every filter for each row, on one processor. Here each
// row is stored as its difference from the one above, which suits screens, and
// strips are compressed side by side (RFC 1950 and 1951 let them be joined).
func encodePNG(p Picture) ([]byte, error) {
	strips, err := deflateStrips(p)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(p.Width * p.Height / 4)
	out.WriteString("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32(nil, uint32(p.Width))
	header = binary.BigEndian.AppendUint32(header, uint32(p.Height))
	chunk(&out, "IHDR", append(header, 8, 2, 0, 0, 0)) // 8 bits of red, green and blue
	sum := uint32(1)
	data := []byte{0x78, 0x01} // deflate, a window of 32 KiB, fastest
	for _, s := range strips {
		data = append(data, s.deflated...)
		sum = joinAdler(sum, s.sum, s.size)
	}
	data = append(data, 0x01, 0x00, 0x00, 0xff, 0xff) // an empty last block
	chunk(&out, "IDAT", binary.BigEndian.AppendUint32(data, sum))
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

// A strip is some rows of a picture, compressed.
type strip struct {
	deflated []byte
	sum      uint32 // Adler-32 of what was compressed
	size     int    // bytes of that
	err      error
}

func deflateStrips(p Picture) ([]strip, error) {
	all := make([]strip, p.Height)
	n := inStrips(p.Height, func(i, from, to int) { all[i] = p.deflate(from, to) })
	for _, s := range all[:n] {
		if s.err != nil {
			return nil, s.err
		}
	}
	return all[:n], nil
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
func (p Picture) deflate(from, to int) (s strip) {
	var out bytes.Buffer
	w := writers.Get().(*flate.Writer)
	defer writers.Put(w)
	w.Reset(&out)
	sum := adler32.New()
	row := make([]byte, 1+3*p.Width)
	for y := from; y < to; y++ {
		p.filter(row, y)
		sum.Write(row)
		if _, s.err = w.Write(row); s.err != nil {
			return s
		}
	}
	s.err = w.Flush()
	s.deflated, s.sum, s.size = out.Bytes(), sum.Sum32(), (to-from)*len(row)
	return s
}

// filter makes what a PNG has of row y: a type, and differences from the row above.
func (p Picture) filter(out []byte, y int) {
	row := p.Pix[y*p.Stride:][:4*p.Width]
	if y == 0 {
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
