package x11

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jezek/xgb/damage"
	"github.com/jezek/xgb/xproto"
)

// oneDesktop says how many virtual desktops there are, until the window manager
// does: a panel that starts beside it, and finds nobody who has said, waits for a
// second (tint2 17 does).
func (s *Screen) oneDesktop() {
	xproto.ChangeProperty(s.x, xproto.PropModeReplace, s.root, s.atoms["_NET_NUMBER_OF_DESKTOPS"], xproto.AtomCardinal, 32, 1, []byte{1, 0, 0, 0})
}

// panelWithin waits until a panel is painted. A window tells by no event of its
// own that it was painted, so the X server is asked to tell of all painting.
func (s *Screen) panelWithin(ctx context.Context, limit time.Duration) error {
	if _, err := damage.QueryVersion(s.x, 1, 1).Reply(); err != nil {
		return s.failed(err, "the X server's notice of painting")
	}
	painting, err := damage.NewDamageId(s.x)
	if err != nil {
		return err
	}
	err = damage.CreateChecked(s.x, painting, xproto.Drawable(s.root), damage.ReportLevelNonEmpty).Check()
	if err != nil {
		return s.failed(err, "the X server's notice of painting")
	}
	defer damage.Destroy(s.x, painting)
	ok, err := s.await(ctx, limit, func() (bool, error) {
		damage.Subtract(s.x, painting, 0, 0) // so that it tells of what comes now
		return s.panelPainted()
	})
	if err == nil && !ok {
		err = errors.New("the panel does not start")
	}
	return err
}

// panelPainted reports whether there is a panel with anything on it.
func (s *Screen) panelPainted() (bool, error) {
	windows, err := s.managed()
	if err != nil {
		return false, err
	}
	for _, w := range windows {
		kinds, err := s.atomsOf(w, "_NET_WM_WINDOW_TYPE")
		if err == nil && kinds[s.atoms["_NET_WM_WINDOW_TYPE_DOCK"]] && s.painted(w) {
			return true, nil
		}
	}
	return false, nil
}

// painted reports whether a window has more than one colour, as a new one has. A
// window that is not shown, or has gone, is not painted.
func (s *Screen) painted(w xproto.Window) bool {
	size, err := xproto.GetGeometry(s.x, xproto.Drawable(w)).Reply()
	if err != nil {
		return false
	}
	r, err := xproto.GetImage(s.x, xproto.ImageFormatZPixmap, xproto.Drawable(w), 0, 0, size.Width, size.Height, 1<<32-1).Reply()
	if err != nil || len(r.Data) < 4 {
		return false
	}
	return !bytes.Equal(r.Data[4:], r.Data[:len(r.Data)-4]) // of 4 bytes each
}
