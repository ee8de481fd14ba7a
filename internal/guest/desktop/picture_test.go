package desktop

import (
	"bytes"
	"hash/adler32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// screenLike is a picture with flat areas, a gradient, lines of "text" and noise.
func screenLike(w, h int) Picture {
	p := Picture{Width: w, Height: h, Stride: 4*w + 8, Pix: make([]byte, (4*w+8)*h)}
	r := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			px := p.Pix[y*p.Stride+4*x:]
			switch {
			case y < h/3:
				px[0], px[1], px[2] = byte(x*255/w), byte(y), 40
			case y < 2*h/3:
				px[0], px[1], px[2] = 250, 250, 250
				if y%16 < 9 && r.IntN(3) == 0 && x > 50 && x < w*2/3 {
					px[0], px[1], px[2] = byte(r.IntN(200)), 30, 30
				}
			case x > w*7/8:
				px[0], px[1], px[2] = byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())
			}
		}
	}
	return p
}

func TestAPNGHasEveryPixel(t *testing.T) {
	for _, size := range [][2]int{{1920, 1080}, {1, 1}, {7, 131}, {3, 129}} {
		p := screenLike(size[0], size[1])
		b, err := newPNG().encode(p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds() != image.Rect(0, 0, size[0], size[1]) {
			t.Fatalf("%v: %v, %v", size, img, err)
		}
		for y := range p.Height {
			for x := range p.Width {
				px := p.Pix[y*p.Stride+4*x:]
				if got, want := img.At(x, y), (color.RGBA{px[2], px[1], px[0], 255}); got != want {
					t.Fatalf("%v: pixel (%d, %d) is %v, want %v", size, x, y, got, want)
				}
			}
		}
	}
}

func TestAJPEGLooksLikeThePicture(t *testing.T) {
	for _, size := range [][2]int{{1920, 1080}, {640, 480}, {1, 1}, {9, 67}} {
		p := screenLike(size[0], size[1])
		for y := range p.Height { // what JPEG can show: bands of one colour
			for x := range p.Stride {
				p.Pix[y*p.Stride+x] = byte(40 + 50*(x%4) + 90*(y/32%2))
			}
		}
		b, err := newJPEG().encode(p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds() != image.Rect(0, 0, size[0], size[1]) {
			t.Fatalf("%v: %v", size, err)
		}
		for _, at := range []image.Point{{0, 0}, {size[0] - 1, size[1] - 1}, {size[0] / 2, size[1] / 2}, {size[0] / 3, size[1] * 3 / 4}} {
			r, g, bl, _ := img.At(at.X, at.Y).RGBA()
			px := p.Pix[at.Y*p.Stride+4*at.X:]
			for c, pair := range [][2]int{{int(r >> 8), int(px[2])}, {int(g >> 8), int(px[1])}, {int(bl >> 8), int(px[0])}} {
				if d := pair[0] - pair[1]; d < -6 || d > 6 {
					t.Errorf("%v: colour %d at %v is %d, want about %d", size, c, at, pair[0], pair[1])
				}
			}
		}
	}
}

func TestWhatHasChangedIsMadeAnew(t *testing.T) {
	for name, make := range map[string]func() *encoder{"png": newPNG, "jpeg": newJPEG} {
		e := make()
		p := screenLike(640, 480)
		check := func(what string) {
			t.Helper()
			got, err := e.encode(p)
			want, fresh := make().encode(p)
			if err != nil || fresh != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: not what a fresh encoder makes (%v, %v)", name, what, err, fresh)
			}
		}
		check("the first")
		check("the same again")
		for _, y := range []int{0, 31, 32, 63, 64, 479} {
			p.Pix[y*p.Stride+4*639+2] ^= 0x80
			check("one pixel has changed")
		}
		p = screenLike(480, 640)
		check("another size")
	}
}

func TestChecksumsOfPiecesAreJoined(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for _, cut := range []int{0, 1, 65521, 150_000, 300_000} {
		got := joinAdler(adler32.Checksum(data[:cut]), adler32.Checksum(data[cut:]), len(data)-cut)
		if want := adler32.Checksum(data); got != want {
			t.Errorf("joined at %d: %#x, want %#x", cut, got, want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	p := screenLike(1920, 1080)
	samePNG, sameJPEG := newPNG(), newJPEG()
	for name, encode := range map[string]func(Picture) ([]byte, error){
		"png":       func(p Picture) ([]byte, error) { return newPNG().encode(p) },
		"jpeg":      func(p Picture) ([]byte, error) { return newJPEG().encode(p) },
		"png-same":  samePNG.encode,
		"jpeg-same": sameJPEG.encode,
		"png-image": func(p Picture) ([]byte, error) {
			img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
			for y := range p.Height {
				for x := range p.Width {
					px := p.Pix[y*p.Stride+4*x:]
					img.SetRGBA(x, y, color.RGBA{px[2], px[1], px[0], 255})
				}
			}
			var out bytes.Buffer
			err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img)
			return out.Bytes(), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var n int
			for b.Loop() {
				out, err := encode(p)
				if err != nil {
					b.Fatal(err)
				}
				n = len(out)
			}
			b.ReportMetric(float64(n)/1024, "KiB")
		})
	}
}
