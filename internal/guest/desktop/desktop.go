// Package desktop performs the tools of a session's screen: mouse, keyboard,
// windows, applications and pictures. What is particular to a window system is
// behind a [Screen]; package x11 has the one of Linux.
package desktop

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// A Desktop performs the tools of one screen. Its fields are set before it is used.
type Desktop struct {
	// Screen returns the screen as it is now, or says why there is none.
	Screen func() (Screen, error)
	Dir    string   // where applications start that do not say
	Env    []string // of applications

	once      sync.Once
	png, jpeg *encoder
}

// Register makes m perform the desktop's tools, but for those of the host.
func (d *Desktop) Register(m *guest.Mux) {
	guest.Handle(m, tool.ClickMouse, d.click)
	guest.Handle(m, tool.MoveMouse, d.move)
	guest.Handle(m, tool.DragMouse, d.drag)
	guest.Handle(m, tool.Scroll, d.scroll)
	guest.Handle(m, tool.CursorPosition, d.pointer)
	guest.Handle(m, tool.InputText, d.inputText)
	guest.Handle(m, tool.PressKeys, d.press)
	guest.Handle(m, tool.ReleaseKeys, d.release)
	guest.Handle(m, tool.ScreenSize, d.size)
	guest.Handle(m, tool.Screenshot, d.screenshot)
	guest.Handle(m, tool.RootWindows, d.windows)
	guest.Handle(m, tool.ActiveWindow, d.active)
	guest.Handle(m, tool.ActivateWindow, d.change(Activate))
	guest.Handle(m, tool.CloseWindow, d.change(CloseIt))
	guest.Handle(m, tool.MaximizeWindow, d.change(Maximize))
	guest.Handle(m, tool.MinimizeWindow, d.change(Minimize))
	guest.Handle(m, tool.RestoreWindow, d.change(Restore))
	guest.Handle(m, tool.FullscreenWindow, d.change(Fullscreen))
	guest.Handle(m, tool.ResizeWindow, d.resize)
	guest.Handle(m, tool.FocusMode, d.focusMode)
	guest.Handle(m, tool.InstalledApps, d.installedApps)
	guest.Handle(m, tool.StartApp, d.startApp)
	guest.Handle(m, tool.VisibleApps, d.visibleApps)
	guest.Handle(m, tool.StopByName, d.stopByName)
	guest.Handle(m, tool.StopByPID, d.stopByPID)
	guest.Handle(m, tool.StopByCmd, d.stopByCmd)
}

// done is the answer of what has nothing else to say.
func done(what string, err error) (guest.Answer, error) {
	if err != nil {
		return guest.Answer{}, err
	}
	return guest.Text(what), nil
}

// at returns the screen, and the points, if they are on it.
func (d *Desktop) at(points ...tool.Point) (Screen, error) {
	s, err := d.Screen()
	if err != nil {
		return nil, err
	}
	w, h := s.Size()
	for _, p := range points {
		if p.X < 0 || p.Y < 0 || p.X >= w || p.Y >= h {
			return nil, guest.Failf(guest.BadArgument, "(%d, %d) is not on the screen, which is %d × %d pixels; x must be from 0 to %d and y from 0 to %d", p.X, p.Y, w, h, w-1, h-1)
		}
	}
	return s, nil
}

// buttons is every button by its name.
var buttons = map[string]Button{"": Left, "left": Left, "right": Right, "middle": Middle}

func button(name, also string) (Button, error) {
	if b, ok := buttons[strings.ToLower(name)]; ok {
		return b, nil
	}
	return 0, guest.Failf(guest.BadArgument, "there is no mouse button %q; use left, right%s or middle", clip(name), also)
}

func (d *Desktop) click(ctx context.Context, in tool.ClickIn) (guest.Answer, error) {
	p, times := tool.Point{X: in.X, Y: in.Y}, 1
	if name, ok := strings.CutPrefix(strings.ToLower(in.Button), "double_"); ok {
		in.Button, times = name, 2
	}
	b, err := button(in.Button, ", double_left")
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.at(p)
	if err != nil {
		return guest.Answer{}, err
	}
	return done(fmt.Sprintf("Clicked at (%d, %d)", p.X, p.Y), s.Click(ctx, p, b, times))
}

func (d *Desktop) move(ctx context.Context, in tool.PointIn) (guest.Answer, error) {
	p := tool.Point(in)
	s, err := d.at(p)
	if err != nil {
		return guest.Answer{}, err
	}
	return done(fmt.Sprintf("Moved to (%d, %d)", p.X, p.Y), s.Move(ctx, p))
}

func (d *Desktop) drag(ctx context.Context, in tool.DragIn) (guest.Answer, error) {
	from, to := tool.Point{X: in.FromX, Y: in.FromY}, tool.Point{X: in.ToX, Y: in.ToY}
	b, err := button(in.Button, "")
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.at(from, to)
	if err != nil {
		return guest.Answer{}, err
	}
	return done(fmt.Sprintf("Dragged from (%d, %d) to (%d, %d)", from.X, from.Y, to.X, to.Y), s.Drag(ctx, from, to, b))
}

// directions is every direction by its name.
var directions = map[string]Direction{"": Up, "up": Up, "down": Down, "left": TurnLeft, "right": TurnRight}

// maxNotches bounds one turn of the wheel.
const maxNotches = 1000

func (d *Desktop) scroll(ctx context.Context, in tool.ScrollIn) (guest.Answer, error) {
	p := tool.Point{X: in.X, Y: in.Y}
	way, ok := directions[strings.ToLower(in.Direction)]
	if !ok {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "there is no direction %q; use up, down, left or right", clip(in.Direction))
	}
	if in.Amount == 0 {
		in.Amount = 1
	}
	if in.Amount < 0 || in.Amount > maxNotches {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "amount is %d; it must be from 1 to %d", in.Amount, maxNotches)
	}
	s, err := d.at(p)
	if err != nil {
		return guest.Answer{}, err
	}
	return done(fmt.Sprintf("Scrolled by %d", in.Amount), s.Scroll(ctx, p, way, in.Amount))
}

func (d *Desktop) pointer(ctx context.Context, _ tool.None) (guest.Answer, error) {
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	p, err := s.Pointer(ctx)
	if err != nil {
		return guest.Answer{}, err
	}
	return guest.JSON(p), nil
}

// maxText bounds the text of one call, in bytes. An editor takes some
// milliseconds for a character.
const maxText = 128 << 10

func (d *Desktop) inputText(ctx context.Context, in tool.TextIn) (guest.Answer, error) {
	if len(in.Text) > maxText {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "the text has %d bytes; at most %d can be typed at once: write a file instead", len(in.Text), maxText)
	}
	text, err := typeable(in.Text)
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	return done(fmt.Sprintf("Typed %d characters", utf8.RuneCountInString(text)), s.Type(ctx, text))
}

// typeable is text with one kind of line end, if there are keys for all of it.
func typeable(text string) (string, error) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for i, r := range text {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			return "", guest.Failf(guest.BadArgument, "character %U at byte %d cannot be typed; press_keys presses keys that are no characters", r, i)
		}
	}
	return text, nil
}

func (d *Desktop) press(ctx context.Context, in tool.PressIn) (guest.Answer, error) {
	keys, err := parseKeys(in.Keys)
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	return done("Pressed "+strings.Join(in.Keys, "+"), s.Press(ctx, keys, in.Hold))
}

func (d *Desktop) release(ctx context.Context, in tool.KeysIn) (guest.Answer, error) {
	keys, err := parseKeys(in.Keys)
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	return done("Released "+strings.Join(in.Keys, "+"), s.Release(ctx, keys))
}

func (d *Desktop) size(context.Context, tool.None) (guest.Answer, error) {
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	w, h := s.Size()
	return guest.JSON(tool.ScreenOut{Width: w, Height: h, Scale: 1}), nil
}

func (d *Desktop) screenshot(ctx context.Context, in tool.ScreenshotIn) (guest.Answer, error) {
	e, err := d.encoder(in.Format)
	if err != nil {
		return guest.Answer{}, err
	}
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	out := tool.ScreenshotOut{Type: "image", MIMEType: e.mime}
	err = s.Picture(ctx, func(p Picture) (err error) {
		out.Width, out.Height = p.Width, p.Height
		out.Data, err = e.encode(p)
		return err
	})
	if err != nil {
		return guest.Answer{}, err
	}
	return guest.JSON(out), nil
}

// listWithin is how long a list of windows may take unless the caller says.
const listWithin = 3 * time.Second

func within(ctx context.Context, ms int) (context.Context, context.CancelFunc) {
	limit := listWithin
	if ms > 0 && ms < 24*60*60*1000 {
		limit = time.Duration(ms) * time.Millisecond
	}
	return context.WithTimeout(ctx, limit)
}

func (d *Desktop) windows(ctx context.Context, in tool.WindowsIn) (guest.Answer, error) {
	ctx, cancel := within(ctx, in.TimeoutMS)
	defer cancel()
	list, err := d.listed(ctx)
	if err != nil {
		return guest.Answer{}, err
	}
	return guest.JSON(list), nil
}

// listed is the windows with the names of their processes; never nil.
func (d *Desktop) listed(ctx context.Context) ([]tool.Window, error) {
	s, err := d.Screen()
	if err != nil {
		return nil, err
	}
	list, err := s.Windows(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Process = nameOf(list[i].PID)
	}
	return append([]tool.Window{}, list...), nil
}

func (d *Desktop) active(ctx context.Context, in tool.WindowsIn) (guest.Answer, error) {
	ctx, cancel := within(ctx, in.TimeoutMS)
	defer cancel()
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	w, err := s.Active(ctx)
	if err != nil {
		return guest.Answer{}, err
	}
	if w.ID == 0 {
		return guest.Answer{}, guest.Failf(guest.Unsuccessful, "no window is active; list_root_windows lists them and activate_window activates one")
	}
	w.Process = nameOf(w.PID)
	return guest.JSON(w), nil
}

// change performs a tool that does one thing to a window.
func (d *Desktop) change(c Change) func(context.Context, tool.WindowIn) (guest.Answer, error) {
	return func(ctx context.Context, in tool.WindowIn) (guest.Answer, error) {
		s, err := d.Screen()
		if err != nil {
			return guest.Answer{}, err
		}
		return done("Window "+strconv.Itoa(in.ID)+" changed", s.Change(ctx, in.ID, c))
	}
}

// maxSide is the longest side a window may be given.
const maxSide = 16384

func (d *Desktop) resize(ctx context.Context, in tool.ResizeIn) (guest.Answer, error) {
	if in.Width < 1 || in.Height < 1 || in.Width > maxSide || in.Height > maxSide {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "%d × %d is no size for a window; each side must be from 1 to %d pixels", in.Width, in.Height, maxSide)
	}
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	return done("Window "+strconv.Itoa(in.ID)+" resized", s.Resize(ctx, in.ID, in.Width, in.Height))
}

func (d *Desktop) focusMode(_ context.Context, in tool.FocusIn) (guest.Answer, error) {
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	s.FocusMode(in.On)
	if in.On {
		return guest.Text("New windows are kept from taking the focus"), nil
	}
	return guest.Text("New windows may take the focus"), nil
}

// clip is the beginning of a long word, for errors.
func clip(s string) string { return guest.Clip(s, 80) }

func itoa(n int) string { return strconv.Itoa(n) }
