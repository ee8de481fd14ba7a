package desktop

import (
	"context"

	"github.com/agentbay/agentbay/tool"
)

// A Screen is what a person would see and act on: pixels, a pointer, keys and
// windows. Its methods may be called concurrently; what acts is done one after
// the other. They return once their effect is there, where it can be observed.
//
// Points were checked against Size before. Errors are Failures in the words of
// package guest.
type Screen interface {
	Size() (width, height int)
	// Picture calls use with what is on the screen, which is valid until use returns.
	Picture(ctx context.Context, use func(Picture) error) error

	Pointer(ctx context.Context) (tool.Point, error)
	Move(ctx context.Context, to tool.Point) error
	Click(ctx context.Context, at tool.Point, b Button, times int) error
	Drag(ctx context.Context, from, to tool.Point, b Button) error
	Scroll(ctx context.Context, at tool.Point, d Direction, notches int) error

	// Type types text of printable characters, newlines and tabs.
	Type(ctx context.Context, text string) error
	// Press presses keys in order and, unless they are held, releases them in the
	// opposite order.
	Press(ctx context.Context, keys []Key, hold bool) error
	Release(ctx context.Context, keys []Key) error

	// Windows lists the windows of applications, topmost first. Names of processes
	// are left to the caller.
	Windows(ctx context.Context) ([]tool.Window, error)
	// Active is the window with the keyboard focus; its ID is 0 if there is none.
	Active(ctx context.Context) (tool.Window, error)
	Change(ctx context.Context, window int, c Change) error
	Resize(ctx context.Context, window, width, height int) error
	FocusMode(on bool)
	// Ready waits until a new window takes input, for a while: it may be kept from
	// the focus, and its program may be busy.
	Ready(ctx context.Context, window int) error

	// Changed returns a channel that is closed when something has happened on the
	// screen that may concern windows.
	Changed() <-chan struct{}
}

// A Picture is the pixels of a screen: rows from the top, four bytes a pixel,
// which are blue, green, red and nothing.
type Picture struct {
	Width, Height int
	Stride        int // bytes from one row to the next
	Pix           []byte
}

// A Button is a button of the mouse.
type Button int

// The buttons.
const (
	Left Button = 1 + iota
	Middle
	Right
)

// A Direction is where a turn of the wheel shows more of.
type Direction int

// The directions.
const (
	Up Direction = 1 + iota
	Down
	TurnLeft
	TurnRight
)

// A Change is what can be done to a window.
type Change int

// The changes.
const (
	Activate Change = 1 + iota
	CloseIt
	Maximize
	Minimize
	Restore
	Fullscreen
)
