package agentbay

import (
	"bytes"
	"context"
	"image"
	_ "image/jpeg" // what Screenshot.Image reads
	_ "image/png"
	"strings"

	"github.com/agentbay/agentbay/tool"
)

// A Computer is the desktop of a session: mouse, keyboard, windows, applications
// and pictures of its screen. Points are pixels from the upper left corner.
// Methods return once their effect is there, where one can be observed.
//
// All of them fail with Invalid where the desktop refuses, with its reason: a
// point that is not on the screen, a window that is gone, or a person in control.
type Computer struct{ session *Session }

// Computer is the session's desktop. Sessions of an image without a screen have
// none; every method then says which images do.
func (s *Session) Computer() Computer { return Computer{s} }

// A Button is a button of the mouse.
type Button string

// The buttons.
const (
	LeftButton   Button = "left"
	MiddleButton Button = "middle"
	RightButton  Button = "right"
)

// A Direction is what a turn of the wheel shows more of.
type Direction string

// The directions.
const (
	Up    Direction = "up"
	Down  Direction = "down"
	Left  Direction = "left"
	Right Direction = "right"
)

// do performs a tool of which only success matters.
func (c Computer) do(ctx context.Context, name string, in any) error {
	_, err := c.session.do(ctx, name, in)
	return err
}

// Click clicks at a point.
func (c Computer) Click(ctx context.Context, at tool.Point, b Button) error {
	return c.do(ctx, tool.ClickMouse.Name, tool.ClickIn{X: at.X, Y: at.Y, Button: string(b)})
}

// DoubleClick clicks twice at a point, with the left button.
func (c Computer) DoubleClick(ctx context.Context, at tool.Point) error {
	return c.do(ctx, tool.ClickMouse.Name, tool.ClickIn{X: at.X, Y: at.Y, Button: "double_left"})
}

// Move moves the pointer.
func (c Computer) Move(ctx context.Context, to tool.Point) error {
	return c.do(ctx, tool.MoveMouse.Name, tool.PointIn(to))
}

// Drag presses a button at one point and releases it at another.
func (c Computer) Drag(ctx context.Context, from, to tool.Point, b Button) error {
	return c.do(ctx, tool.DragMouse.Name, tool.DragIn{FromX: from.X, FromY: from.Y, ToX: to.X, ToY: to.Y, Button: string(b)})
}

// Scroll turns the wheel by some notches, from 1 to 1000, at a point.
func (c Computer) Scroll(ctx context.Context, at tool.Point, d Direction, notches int) error {
	return c.do(ctx, tool.Scroll.Name, tool.ScrollIn{X: at.X, Y: at.Y, Direction: string(d), Amount: notches})
}

// Cursor is where the pointer is.
func (c Computer) Cursor(ctx context.Context) (tool.Point, error) {
	return ask(ctx, c.session, tool.CursorPosition, tool.None{})
}

// Type types text, in any script, into what has the keyboard focus. A newline is
// the Return key.
func (c Computer) Type(ctx context.Context, text string) error {
	return c.do(ctx, tool.InputText.Name, tool.TextIn{Text: text})
}

// Press presses keys together, such as "Ctrl", "a", and releases them.
func (c Computer) Press(ctx context.Context, keys ...string) error {
	return c.do(ctx, tool.PressKeys.Name, tool.PressIn{Keys: keys})
}

// Hold presses keys, which stay down until Release.
func (c Computer) Hold(ctx context.Context, keys ...string) error {
	return c.do(ctx, tool.PressKeys.Name, tool.PressIn{Keys: keys, Hold: true})
}

// Release releases keys that are held.
func (c Computer) Release(ctx context.Context, keys ...string) error {
	return c.do(ctx, tool.ReleaseKeys.Name, tool.KeysIn{Keys: keys})
}

// ScreenSize is the size of the screen.
func (c Computer) ScreenSize(ctx context.Context) (tool.ScreenOut, error) {
	return ask(ctx, c.session, tool.ScreenSize, tool.None{})
}

// A Screenshot is a picture of a screen.
type Screenshot struct {
	Data          []byte // the file
	MIMEType      string // image/png or image/jpeg
	Width, Height int    // pixels
}

// Image decodes the picture.
func (s *Screenshot) Image() (image.Image, error) {
	img, _, err := image.Decode(bytes.NewReader(s.Data))
	return img, err
}

// Screenshot takes a picture of the screen; the format is "png" or "jpeg".
func (c Computer) Screenshot(ctx context.Context, format string) (*Screenshot, error) {
	out, err := ask(ctx, c.session, tool.Screenshot, tool.ScreenshotIn{Format: format})
	if err != nil {
		return nil, err
	}
	return &Screenshot{out.Data, out.MIMEType, out.Width, out.Height}, nil
}

// ScreenshotURL takes a picture of the screen, and returns a URL of a PNG that
// can be had without a key for a day, also after the session's end.
func (c Computer) ScreenshotURL(ctx context.Context) (string, error) {
	url, err := c.session.do(ctx, tool.SystemScreenshot.Name, nil)
	return strings.TrimSpace(url), err
}

// Windows lists the windows of applications, topmost first.
func (c Computer) Windows(ctx context.Context) ([]tool.Window, error) {
	return ask(ctx, c.session, tool.RootWindows, tool.WindowsIn{})
}

// ActiveWindow is the window with the keyboard focus; that there is none is an error.
func (c Computer) ActiveWindow(ctx context.Context) (tool.Window, error) {
	return ask(ctx, c.session, tool.ActiveWindow, tool.WindowsIn{})
}

// Activate brings a window to the front and gives it the focus.
func (c Computer) Activate(ctx context.Context, window int) error {
	return c.do(ctx, tool.ActivateWindow.Name, tool.WindowIn{ID: window})
}

// Close asks a window to close; its application may ask whether to save.
func (c Computer) Close(ctx context.Context, window int) error {
	return c.do(ctx, tool.CloseWindow.Name, tool.WindowIn{ID: window})
}

// Maximize makes a window fill the screen beside the panel.
func (c Computer) Maximize(ctx context.Context, window int) error {
	return c.do(ctx, tool.MaximizeWindow.Name, tool.WindowIn{ID: window})
}

// Minimize hides a window but for its entry in the panel.
func (c Computer) Minimize(ctx context.Context, window int) error {
	return c.do(ctx, tool.MinimizeWindow.Name, tool.WindowIn{ID: window})
}

// Restore undoes minimizing, maximizing and full screen.
func (c Computer) Restore(ctx context.Context, window int) error {
	return c.do(ctx, tool.RestoreWindow.Name, tool.WindowIn{ID: window})
}

// Fullscreen makes a window fill the whole screen, without borders.
func (c Computer) Fullscreen(ctx context.Context, window int) error {
	return c.do(ctx, tool.FullscreenWindow.Name, tool.WindowIn{ID: window})
}

// Resize gives a window another size, in pixels with its borders.
func (c Computer) Resize(ctx context.Context, window, width, height int) error {
	return c.do(ctx, tool.ResizeWindow.Name, tool.ResizeIn{ID: window, Width: width, Height: height})
}

// FocusMode keeps new windows from taking the focus, or lets them again.
func (c Computer) FocusMode(ctx context.Context, on bool) error {
	return c.do(ctx, tool.FocusMode.Name, tool.FocusIn{On: on})
}

// Apps lists the applications that can be started.
func (c Computer) Apps(ctx context.Context, in tool.InstalledAppsIn) ([]tool.App, error) {
	return ask(ctx, c.session, tool.InstalledApps, in)
}

// Start starts an application by its command line or name. It returns once there
// is a window, whose process comes first, or when a program without windows has
// run for some seconds.
func (c Computer) Start(ctx context.Context, command string) ([]tool.Process, error) {
	return ask(ctx, c.session, tool.StartApp, tool.StartAppIn{StartCmd: command})
}

// VisibleApps lists the processes that have windows.
func (c Computer) VisibleApps(ctx context.Context) ([]tool.Process, error) {
	return ask(ctx, c.session, tool.VisibleApps, tool.None{})
}

// StopName ends every process of exactly that name.
func (c Computer) StopName(ctx context.Context, name string) error {
	return c.do(ctx, tool.StopByName.Name, tool.StopByNameIn{Name: name})
}

// StopPID ends a process.
func (c Computer) StopPID(ctx context.Context, pid int) error {
	return c.do(ctx, tool.StopByPID.Name, tool.StopByPIDIn{PID: pid})
}

// StopCommand ends an application with a command line.
func (c Computer) StopCommand(ctx context.Context, command string) error {
	return c.do(ctx, tool.StopByCmd.Name, tool.StopByCmdIn{Cmd: command})
}
