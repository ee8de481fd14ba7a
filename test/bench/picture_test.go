package bench

import (
	"image"
	"image/draw"
	"slices"
	"testing"
	"time"
)

// An update is new pixels, which may look as those before.
type update struct {
	at      time.Time // of arrival, whole
	patches []patch
}

// A patch is one rectangle of them.
type patch struct {
	area   image.Rectangle
	from   image.Point                 // of the screen, where it is copied from if decode is nil
	decode func() (image.Image, error) // may need the patches before it decoded
}

// put draws an update on a screen.
func (u update) put(screen *image.RGBA) error {
	for _, p := range u.patches {
		if p.decode == nil {
			draw.Draw(screen, p.area, screen, p.from, draw.Src)
			continue
		}
		picture, err := p.decode()
		if err != nil {
			return err
		}
		draw.Draw(screen, p.area, picture, image.Point{}, draw.Src)
	}
	return nil
}

// different is how many pixels of an area do not look the same. What JPEG loses is
// no difference.
func different(a, b *image.RGBA, area image.Rectangle) (n int) {
	const loss = 32
	area = area.Intersect(a.Rect)
	for y := area.Min.Y; y < area.Max.Y; y++ {
		p, q := a.Pix[a.PixOffset(area.Min.X, y):], b.Pix[b.PixOffset(area.Min.X, y):]
		for i := 0; i < 4*area.Dx(); i += 4 {
			for c := i; c < i+3; c++ {
				if d := int(p[c]) - int(q[c]); d > loss || d < -loss {
					n++
					break
				}
			}
		}
	}
	return n
}

// An eye sees the picture that a watcher gets. It decodes when nothing is measured,
// since a person has a processor for that which is not the session's.
type eye struct {
	watcher
	b      *testing.B
	screen *image.RGBA
}

func newEye(b *testing.B, w watcher) *eye {
	return &eye{w, b, image.NewRGBA(image.Rect(0, 0, screenWidth, screenHeight))}
}

// put draws updates on a screen.
func (e *eye) put(screen *image.RGBA, us ...update) {
	e.b.Helper()
	for _, u := range us {
		if err := u.put(screen); err != nil {
			e.b.Fatalf("the live view: %v", err)
		}
	}
}

// gather takes updates until none has come for a while.
func (e *eye) gather(quiet time.Duration) (us []update) {
	e.b.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		u, ok := e.next(time.After(quiet))
		if !ok {
			return us
		}
		us = append(us, u)
	}
	e.b.Fatal("the picture is never still")
	panic("unreachable")
}

// watch takes the updates of a while.
func (e *eye) watch(d time.Duration) (us []update) {
	e.b.Helper()
	for over := time.After(d); ; {
		u, ok := e.next(over)
		if !ok {
			return us
		}
		us = append(us, u)
	}
}

// next takes an update, if one comes in time.
func (e *eye) next(late <-chan time.Time) (u update, ok bool) {
	e.b.Helper()
	select {
	case u, ok = <-e.updates():
		if !ok {
			e.b.Fatal("the live view has ended")
		}
		return u, true
	case <-late:
		return u, false
	}
}

// settle waits until the picture is still.
func (e *eye) settle() {
	e.b.Helper()
	e.put(e.screen, e.gather(time.Second)...)
}

// pause is how long nothing comes when the picture is still: longer than one lost
// packet takes to be sent again.
const pause = 500 * time.Millisecond

// effect waits until the picture is still and at least so many pixels of an area
// have changed. It returns when nine tenths of those that changed had arrived.
func (e *eye) effect(area image.Rectangle, pixels int) time.Time {
	e.b.Helper()
	before := e.copied()
	changed := 0
	var us []update
	for limit := time.Now().Add(20 * time.Second); changed < pixels; changed = different(before, e.screen, area) {
		if time.Now().After(limit) {
			e.b.Fatalf("of %v only %d pixels change, and %d should", area, changed, pixels)
		}
		more := e.gather(pause)
		e.put(e.screen, more...)
		us = append(us, more...)
	}
	for _, u := range us {
		e.put(before, u)
		if different(before, e.screen, area) <= changed/10 {
			return u.at
		}
	}
	panic("unreachable: with all updates put, nothing differs")
}

// changes is how many updates change so many pixels of an area.
func (e *eye) changes(us []update, area image.Rectangle, pixels int) (n int) {
	e.b.Helper()
	before := e.copied()
	for _, u := range us {
		e.put(e.screen, u)
		if different(before, e.screen, area) >= pixels {
			n++
		}
		e.put(before, u)
	}
	return n
}

func (e *eye) copied() *image.RGBA {
	return &image.RGBA{Pix: slices.Clone(e.screen.Pix), Stride: e.screen.Stride, Rect: e.screen.Rect}
}
