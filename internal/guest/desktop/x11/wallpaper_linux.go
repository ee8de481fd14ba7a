package x11

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xproto"
)

// A colour has red, green and blue from 0 to 1.
type colour [3]float64

// The wallpaper: a dark gradient with a glow, that suits panel and windows.
var (
	nightTop    = colour{0.075, 0.098, 0.172}
	nightBottom = colour{0.160, 0.215, 0.345}
	glow        = colour{0.290, 0.420, 0.640}
)

// wallpaper draws one for a screen.
func wallpaper(w, h int) []byte {
	b := make([]byte, 4*w*h)
	var all sync.WaitGroup
	for i := range wallpaperParts {
		from, to := h*i/wallpaperParts, h*(i+1)/wallpaperParts
		all.Go(func() { gradient(b[4*w*from:], w, h, from, to) })
	}
	all.Wait()
	return b
}

// wallpaperParts is how many parts of one are drawn side by side.
const wallpaperParts = 4

// paint puts the wallpaper on the root window, and tells panels where it is.
func (s *Screen) paint(picture []byte) error {
	w, h := s.Size()
	if len(picture) != 4*w*h {
		picture = wallpaper(w, h)
	}
	pix, err := xproto.NewPixmapId(s.x)
	if err != nil {
		return err
	}
	gc, err := xproto.NewGcontextId(s.x)
	if err != nil {
		return err
	}
	if err := xproto.CreatePixmapChecked(s.x, s.depth, pix, xproto.Drawable(s.root), uint16(w), uint16(h)).Check(); err != nil {
		return err
	}
	xproto.CreateGC(s.x, gc, xproto.Drawable(pix), 0, nil)
	defer xproto.FreeGC(s.x, gc)
	s.shots.busy <- struct{}{}
	defer func() { <-s.shots.busy }()
	if s.shots.able && s.shots.room(s, 4*w*h) == nil {
		copy(s.shots.bytes, picture)
		err = shm.PutImageChecked(s.x, xproto.Drawable(pix), gc, uint16(w), uint16(h), 0, 0, uint16(w), uint16(h), 0, 0, s.depth, xproto.ImageFormatZPixmap, 0, s.shots.seg, 0).Check()
	} else {
		err = s.putRows(pix, gc, w, h, picture)
	}
	if err != nil {
		return err
	}
	xproto.ChangeWindowAttributes(s.x, s.root, xproto.CwBackPixmap, []uint32{uint32(pix)})
	xproto.ClearArea(s.x, false, s.root, 0, 0, 0, 0)
	id := binary.LittleEndian.AppendUint32(nil, uint32(pix))
	for _, name := range []string{"_XROOTPMAP_ID", "ESETROOT_PMAP_ID"} {
		xproto.ChangeProperty(s.x, xproto.PropModeReplace, s.root, s.atoms[name], xproto.AtomPixmap, 32, 1, id)
	}
	return s.sync()
}

// putRows sends the wallpaper in requests as long as X allows.
func (s *Screen) putRows(pix xproto.Pixmap, gc xproto.Gcontext, w, h int, picture []byte) error {
	const longest = 200 << 10
	each := max(longest/(4*w), 1)
	for y := 0; y < h; y += each {
		n := min(each, h-y)
		b := picture[4*w*y : 4*w*(y+n)]
		err := xproto.PutImageChecked(s.x, xproto.ImageFormatZPixmap, xproto.Drawable(pix), gc, uint16(w), uint16(n), 0, int16(y), 0, s.depth, b).Check()
		if err != nil {
			return err
		}
	}
	return nil
}

// gradient draws rows of the wallpaper. Neighbouring pixels are rounded
// differently, so that no steps are seen.
func gradient(b []byte, w, h, from, to int) {
	far := float64(w*w+h*h) / 3
	for y := from; y < to; y++ {
		down := float64(y) / float64(h)
		for x := range w {
			dx, dy := float64(x)-0.72*float64(w), float64(y)-0.95*float64(h)
			near := max(1-(dx*dx+dy*dy)/far, 0)
			near *= near * 0.55
			px := b[4*((y-from)*w+x):]
			round := float64((x*7+y*13)%16) / 16
			for i := range 3 {
				v := nightTop[i] + (nightBottom[i]-nightTop[i])*down
				v += (glow[i] - v) * near
				px[2-i] = byte(math.Min(v*255+round, 255))
			}
			px[3] = 0
		}
	}
}
