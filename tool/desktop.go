package tool

// The desktop family. Points are pixels from the upper left corner of the
// screen. What acts returns once its effect is there, where one can be observed.
var (
	ClickMouse = acting[ClickIn, Text](Desktop, "click_mouse", "Click at a point of the screen.")
	MoveMouse  = acting[PointIn, Text](Desktop, "move_mouse", "Move the mouse pointer to a point of the screen.")
	DragMouse  = acting[DragIn, Text](Desktop, "drag_mouse", "Press a mouse button at one point and release it at another.")
	Scroll     = acting[ScrollIn, Text](Desktop, "scroll", "Turn the mouse wheel at a point of the screen.")
	// CursorPosition reports where the mouse pointer is.
	CursorPosition = define[None, Point](Desktop, "get_cursor_position", "Report where the mouse pointer is.")
	InputText      = acting[TextIn, Text](Desktop, "input_text", "Type text into what has the keyboard focus, in any script; a newline is the Return key.")
	// PressKeys presses keys together, and releases them unless they are to be held.
	PressKeys   = acting[PressIn, Text](Desktop, "press_keys", "Press a combination of keys, such as Ctrl and a.")
	ReleaseKeys = acting[KeysIn, Text](Desktop, "release_keys", "Release keys that are held.")
	ScreenSize  = define[None, ScreenOut](Desktop, "get_screen_size", "Report the size of the screen.")

	// SystemScreenshot answers with a URL of a PNG that can be had without a key
	// for a day, or until the session has long ended. The host answers it.
	SystemScreenshot = define[None, Text](Desktop, "system_screenshot", "Take a picture of the screen and return a link to it.")
	Screenshot       = define[ScreenshotIn, ScreenshotOut](Desktop, "screenshot", "Take a picture of the screen and return it as base64.")

	// RootWindows lists the windows of applications, topmost first.
	RootWindows = define[WindowsIn, []Window](Desktop, "list_root_windows", "List the windows on the screen.")
	// ActiveWindow fails if no window is active.
	ActiveWindow     = define[WindowsIn, Window](Desktop, "get_active_window", "Describe the window that has the keyboard focus.")
	ActivateWindow   = acting[WindowIn, Text](Desktop, "activate_window", "Bring a window to the front and give it the keyboard focus.")
	CloseWindow      = acting[WindowIn, Text](Desktop, "close_window", "Ask a window to close, as its close button does.")
	MaximizeWindow   = acting[WindowIn, Text](Desktop, "maximize_window", "Make a window fill the screen beside the panel.")
	MinimizeWindow   = acting[WindowIn, Text](Desktop, "minimize_window", "Hide a window but for its entry in the panel.")
	RestoreWindow    = acting[WindowIn, Text](Desktop, "restore_window", "Undo minimizing, maximizing and full screen of a window.")
	FullscreenWindow = acting[WindowIn, Text](Desktop, "fullscreen_window", "Make a window fill the whole screen, without borders.")
	ResizeWindow     = acting[ResizeIn, Text](Desktop, "resize_window", "Give a window another size.")
	// FocusMode keeps new windows from taking the keyboard focus while it is on.
	FocusMode = acting[FocusIn, Text](Desktop, "focus_mode", "Keep new windows from taking the keyboard focus, or let them again.")

	InstalledApps = define[InstalledAppsIn, []App](Desktop, "get_installed_apps", "List the applications that can be started.")
	// StartApp returns once the application shows a window, or has run for some
	// seconds without one. Its answer begins with the process of that window.
	StartApp    = acting[StartAppIn, []Process](Desktop, "start_app", "Start an application and return its processes.")
	VisibleApps = define[None, []Process](Desktop, "list_visible_apps", "List the processes that have windows.")
	StopByName  = acting[StopByNameIn, Text](Desktop, "stop_app_by_pname", "End every process of that name.")
	StopByPID   = acting[StopByPIDIn, Text](Desktop, "stop_app_by_pid", "End a process.")
	StopByCmd   = acting[StopByCmdIn, Text](Desktop, "stop_app_by_cmd", "End an application with a command line.")
)

// PointIn is a point of the screen.
type PointIn struct {
	X int `json:"x" doc:"pixels from the left"`
	Y int `json:"y" doc:"pixels from the top"`
}

// A Point is where something is.
type Point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

// ClickIn is a click.
type ClickIn struct {
	X      int    `json:"x" doc:"pixels from the left"`
	Y      int    `json:"y" doc:"pixels from the top"`
	Button string `json:"button,omitempty" doc:"left, right, middle or double_left; default left"`
}

// DragIn is a movement with a button held.
type DragIn struct {
	FromX  int    `json:"from_x" doc:"where it begins, pixels from the left"`
	FromY  int    `json:"from_y" doc:"where it begins, pixels from the top"`
	ToX    int    `json:"to_x" doc:"where it ends, pixels from the left"`
	ToY    int    `json:"to_y" doc:"where it ends, pixels from the top"`
	Button string `json:"button,omitempty" doc:"left, right or middle; default left"`
}

// ScrollIn is some turning of the wheel.
type ScrollIn struct {
	X         int    `json:"x" doc:"pixels from the left"`
	Y         int    `json:"y" doc:"pixels from the top"`
	Direction string `json:"direction,omitempty" doc:"up, down, left or right; default up"`
	Amount    int    `json:"amount,omitempty" doc:"notches of the wheel, at most 1000; default 1"`
}

// TextIn is text to type.
type TextIn struct {
	Text string `json:"text" doc:"what to type; at most 128 KiB"`
}

// PressIn is a combination of keys.
type PressIn struct {
	Keys []string `json:"keys" doc:"names of keys in any case, such as Ctrl, Return, F5 or a"`
	Hold bool     `json:"hold,omitempty" doc:"leave them pressed, until release_keys"`
}

// KeysIn names keys.
type KeysIn struct {
	Keys []string `json:"keys" doc:"names of keys in any case"`
}

// ScreenOut is the size of the screen in pixels.
type ScreenOut struct {
	Width  int     `json:"width"`
	Height int     `json:"height"`
	Scale  float64 `json:"dpiScalingFactor"` // 1 is 96 dots an inch
}

// ScreenshotIn says what picture is wanted.
type ScreenshotIn struct {
	Format string `json:"format,omitempty" doc:"png or jpeg; default png"`
}

// ScreenshotOut is a picture.
type ScreenshotOut struct {
	Type     string `json:"type"`      // image
	MIMEType string `json:"mime_type"` // image/png or image/jpeg
	Data     []byte `json:"data"`      // base64 in JSON
	Width    int    `json:"width"`
	Height   int    `json:"height"`
}

// WindowsIn is how long to wait for the list of windows.
type WindowsIn struct {
	TimeoutMS int `json:"timeout_ms,omitempty" doc:"give up after this many milliseconds; default 3000"`
}

// A Window is a window of an application, with its borders. It is as clients of
// every age read it, so its numbers fit in 31 bits.
type Window struct {
	ID       int      `json:"window_id"`
	Title    string   `json:"window_title"`
	X        int      `json:"absolute_upper_left_x"`
	Y        int      `json:"absolute_upper_left_y"`
	Width    int      `json:"width"`
	Height   int      `json:"height"`
	PID      int      `json:"pid"`   // 0 if the application does not say
	Process  string   `json:"pname"` // empty if the application does not say
	Children []Window `json:"child_windows"`
}

// WindowIn names a window.
type WindowIn struct {
	ID int `json:"window_id" doc:"window_id of a listed window"`
}

// ResizeIn is a size for a window.
type ResizeIn struct {
	ID     int `json:"window_id" doc:"window_id of a listed window"`
	Width  int `json:"width" doc:"pixels, with its borders"`
	Height int `json:"height" doc:"pixels, with its borders"`
}

// FocusIn switches the focus mode.
type FocusIn struct {
	On bool `json:"on" doc:"whether new windows are kept from taking the focus"`
}

// InstalledAppsIn says which applications are wanted.
type InstalledAppsIn struct {
	StartMenu   *bool `json:"start_menu,omitempty" doc:"those of the applications menu; default true"`
	Desktop     bool  `json:"desktop,omitempty" doc:"those on the desktop"`
	IgnoreTools *bool `json:"ignore_system_app,omitempty" doc:"leave out settings and tools of the system; default true"`
}

// An App is an application that can be started.
type App struct {
	Name     string `json:"name"`
	StartCmd string `json:"start_cmd"`
	StopCmd  string `json:"stop_cmd,omitempty"`
	Dir      string `json:"work_directory,omitempty"`
}

// StartAppIn says what to start.
type StartAppIn struct {
	StartCmd string `json:"start_cmd" doc:"command line, with the placeholders of desktop entries if need be, or the name of an installed application"`
	Dir      string `json:"work_directory,omitempty" doc:"directory to start in; default the session's working directory"`
	Activity string `json:"activity,omitempty" doc:"of phones only; ignored"`
}

// A Process is a running program.
type Process struct {
	Name    string `json:"pname"`
	PID     int    `json:"pid"`
	CmdLine string `json:"cmdline,omitempty"`
}

// StopByNameIn names processes.
type StopByNameIn struct {
	Name string `json:"pname" doc:"exact name of the program, such as gedit"`
}

// StopByPIDIn names a process.
type StopByPIDIn struct {
	PID int `json:"pid" doc:"process ID, as of a listed process"`
}

// StopByCmdIn is a command line that ends something.
type StopByCmdIn struct {
	Cmd string `json:"stop_cmd" doc:"command line to run, such as the stop_cmd of an application"`
}
