//go:build linux

package x11_test

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/agentbay/agentbay/internal/guest/desktop"
)

// asPanel makes this program a panel, which is slow to paint.
const asPanel = "X11_TEST_PANEL"

const (
	panelHeight = 40
	panelStripe = 0x33aa55 // red, green and blue
)

func TestMain(m *testing.M) {
	if os.Getenv(asPanel) != "" {
		slowPanel()
	}
	os.Exit(m.Run())
}

// slowPanel shows a black panel, and paints it a while later.
func slowPanel() {
	x, err := xgb.NewConnDisplay(os.Getenv("DISPLAY"))
	if err != nil {
		os.Exit(1)
	}
	screen := xproto.Setup(x).DefaultScreen(x)
	w, _ := xproto.NewWindowId(x)
	xproto.CreateWindow(x, screen.RootDepth, w, screen.Root, 0, 0, screen.WidthInPixels, panelHeight, 0, xproto.WindowClassInputOutput,
		screen.RootVisual, xproto.CwBackPixel, []uint32{0})
	atom := func(name string) xproto.Atom {
		r, err := xproto.InternAtom(x, false, uint16(len(name)), name).Reply()
		if err != nil {
			os.Exit(1)
		}
		return r.Atom
	}
	dock := binary.LittleEndian.AppendUint32(nil, uint32(atom("_NET_WM_WINDOW_TYPE_DOCK")))
	xproto.ChangeProperty(x, xproto.PropModeReplace, w, atom("_NET_WM_WINDOW_TYPE"), xproto.AtomAtom, 32, 1, dock)
	xproto.MapWindow(x, w)
	time.Sleep(500 * time.Millisecond) // what makes it slow
	gc, _ := xproto.NewGcontextId(x)
	xproto.CreateGC(x, gc, xproto.Drawable(w), xproto.GcForeground, []uint32{panelStripe})
	xproto.PolyFillRectangle(x, xproto.Drawable(w), gc, []xproto.Rectangle{{Width: 50, Height: panelHeight}})
	for {
		if event, err := x.WaitForEvent(); event == nil && err == nil {
			os.Exit(0)
		}
	}
}

func TestASessionHasStartedWhenItsPanelIsPainted(t *testing.T) {
	c := config(t)
	c.Panel, c.Env = []string{os.Args[0]}, append(c.Env, asPanel+"=1")
	screen := screenOf(t, startWith(t, c))
	must(t, screen.Picture(t.Context(), func(p desktop.Picture) error {
		for i := 0; i < p.Stride*p.Height; i += 4 {
			if binary.LittleEndian.Uint32(p.Pix[i:])&0xffffff == panelStripe {
				return nil
			}
		}
		t.Error("the first picture shows no panel")
		return nil
	}))
}
