//go:build linux

package x11

import (
	"context"

	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/agentbay/agentbay/internal/guest/desktop"
	"github.com/agentbay/agentbay/tool"
)

// codes is the number that X has for each button.
var codes = map[desktop.Button]byte{desktop.Left: 1, desktop.Middle: 2, desktop.Right: 3}

// wheel is the button that X has for each direction of the wheel.
var wheel = map[desktop.Direction]byte{desktop.Up: 4, desktop.Down: 5, desktop.TurnLeft: 6, desktop.TurnRight: 7}

func (s *Screen) fake(kind, detail byte, x, y int) {
	xtest.FakeInput(s.x, kind, detail, 0, s.root, int16(x), int16(y), 0)
}

func (s *Screen) moveTo(p tool.Point) { s.fake(xproto.MotionNotify, 0, p.X, p.Y) }

func (s *Screen) clickHere(code byte) {
	s.fake(xproto.ButtonPress, code, 0, 0)
	s.fake(xproto.ButtonRelease, code, 0, 0)
}

// Pointer implements desktop.Screen.
func (s *Screen) Pointer(context.Context) (tool.Point, error) {
	r, err := xproto.QueryPointer(s.x, s.root).Reply()
	if err != nil {
		return tool.Point{}, s.failed(err, "the pointer")
	}
	return tool.Point{X: int(r.RootX), Y: int(r.RootY)}, nil
}

// Move implements desktop.Screen.
func (s *Screen) Move(ctx context.Context, to tool.Point) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.moveTo(to)
	return s.sync()
}

// Click implements desktop.Screen.
func (s *Screen) Click(ctx context.Context, at tool.Point, b desktop.Button, times int) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.moveTo(at)
	for range times {
		s.clickHere(codes[b])
	}
	return s.settle(ctx, clickWithin)
}

// dragSteps is how many movements a drag is made of. Programs that follow the
// pointer begin to do so at the second.
const dragSteps = 16

// Drag implements desktop.Screen.
func (s *Screen) Drag(ctx context.Context, from, to tool.Point, b desktop.Button) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.moveTo(from)
	s.fake(xproto.ButtonPress, codes[b], 0, 0)
	defer s.fake(xproto.ButtonRelease, codes[b], 0, 0) // whatever fails; twice does no harm
	if err := s.settle(ctx, clickWithin); err != nil {
		return err
	}
	for i := 1; i <= dragSteps; i++ {
		s.moveTo(tool.Point{X: from.X + (to.X-from.X)*i/dragSteps, Y: from.Y + (to.Y-from.Y)*i/dragSteps})
		if err := s.settleManager(ctx); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, clickWithin); err != nil {
		return err
	}
	s.fake(xproto.ButtonRelease, codes[b], 0, 0)
	return s.settle(ctx, clickWithin)
}

// together is how many notches are turned before programs are waited for.
const together = 20

// Scroll implements desktop.Screen.
func (s *Screen) Scroll(ctx context.Context, at tool.Point, d desktop.Direction, notches int) error {
	release, err := s.act(ctx)
	if err != nil {
		return err
	}
	defer release()
	s.moveTo(at)
	for i := range notches {
		s.clickHere(wheel[d])
		if i%together == together-1 || i == notches-1 {
			if err := s.settle(ctx, clickWithin); err != nil {
				return err
			}
		}
	}
	return nil
}
