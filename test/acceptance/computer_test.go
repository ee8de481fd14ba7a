package acceptance

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// A desk is a session with a screen that a test acts on.
type desk struct {
	*testing.T
	session *agentbay.Session
	agentbay.Computer
}

func newDesk(t *testing.T) desk {
	s := session(t, "linux_latest")
	return desk{t, s, s.Computer()}
}

func (d desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// start starts an application and returns its window.
func (d desk) start(command string) (tool.Process, tool.Window) {
	d.Helper()
	list, err := d.Start(d.Context(), command)
	d.must(err)
	if len(list) == 0 {
		d.Fatalf("%s has no process", command)
	}
	windows, err := d.Windows(d.Context())
	d.must(err)
	for _, w := range windows {
		if w.PID == list[0].PID {
			return list[0], w
		}
	}
	d.Fatalf("%s: no window of %+v in %+v", command, list, windows)
	panic("unreachable")
}

// window is a window as it is now.
func (d desk) window(id int) tool.Window {
	d.Helper()
	windows, err := d.Windows(d.Context())
	d.must(err)
	for _, w := range windows {
		if w.ID == id {
			return w
		}
	}
	d.Fatalf("window %d is gone", id)
	panic("unreachable")
}

// eventually waits for what a program does in its own time.
func (d desk) eventually(what string, holds func() bool) {
	d.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			d.Fatalf("it does not happen: %s", what)
		}
	}
}

// clear ends every application.
func (d desk) clear() {
	d.Helper()
	apps, err := d.VisibleApps(d.Context())
	d.must(err)
	for _, a := range apps {
		d.StopPID(d.Context(), a.PID) // which may have ended meanwhile
	}
	d.eventually("no window is left", func() bool {
		w, err := d.Windows(d.Context())
		return err == nil && len(w) == 0
	})
}

func (d desk) read(name string) string {
	b, err := d.session.FS(d.Context()).ReadFile(strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	return string(b)
}

func (d desk) picture() image.Image {
	d.Helper()
	shot, err := d.Screenshot(d.Context(), "png")
	d.must(err)
	img, err := shot.Image()
	d.must(err)
	return img
}

// differs reports whether two pictures differ within a window.
func differs(a, b image.Image, w tool.Window) bool {
	for y := max(w.Y, 0); y < min(w.Y+w.Height, a.Bounds().Max.Y); y++ {
		for x := max(w.X, 0); x < min(w.X+w.Width, a.Bounds().Max.X); x++ {
			if a.At(x, y) != b.At(x, y) {
				return true
			}
		}
	}
	return false
}

// The first picture of a session has the panel with its menu, whose icon is
// bright; what else is down there is dark.
func TestASessionIsRunningWhenItsDesktopIsPainted(t *testing.T) {
	d := newDesk(t)
	first := d.picture()
	for x := range 48 {
		for y := 1080 - 44; y < 1080; y++ {
			if r, _, _, _ := first.At(x, y).RGBA(); r > 0xd000 {
				return
			}
		}
	}
	d.Error("the first picture has no panel")
}

func TestComputer(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		name string
		run  func(desk)
	}{
		{"screen and pointer", screenAndPointer},
		{"pictures", pictures},
		{"an editor", editor},
		{"keys", heldKeys},
		{"windows", windows},
		{"scrolling", scrolling},
		{"a dialog", dialog},
		{"menus", menus},
		{"applications", applications},
		{"refusals", refusedByTheDesktop},
		{"recordings", recordings},
		{"the X server is killed", killedServer},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := desk{t, d.session, d.Computer}
			d.clear()
			test.run(d)
		})
	}
}

func screenAndPointer(d desk) {
	size, err := d.ScreenSize(d.Context())
	d.must(err)
	if size.Width != 1920 || size.Height != 1080 || size.Scale != 1 {
		d.Errorf("the screen is %+v", size)
	}
	for _, p := range []tool.Point{{X: 300, Y: 200}, {X: 0, Y: 0}, {X: 1919, Y: 1079}} {
		d.must(d.Move(d.Context(), p))
		if at, err := d.Cursor(d.Context()); err != nil || at != p {
			d.Errorf("moved to %v, the pointer is at %v, %v", p, at, err)
		}
	}
	if w, err := d.ActiveWindow(d.Context()); err == nil {
		d.Errorf("without windows %+v is active", w)
	}
}

func pictures(d desk) {
	for format, magic := range map[string]string{"png": "\x89PNG\r\n\x1a\n", "jpeg": "\xff\xd8\xff"} {
		shot, err := d.Screenshot(d.Context(), format)
		d.must(err)
		img, err := shot.Image()
		if err != nil || !bytes.HasPrefix(shot.Data, []byte(magic)) || shot.MIMEType != "image/"+format ||
			img.Bounds() != image.Rect(0, 0, 1920, 1080) || shot.Width != 1920 || shot.Height != 1080 {
			d.Errorf("%s: %s, %d × %d, %v", format, shot.MIMEType, shot.Width, shot.Height, err)
		}
	}
	url, err := d.ScreenshotURL(d.Context())
	d.must(err)
	b := d.get(url, "image/png")
	if _, kind, err := image.Decode(bytes.NewReader(b)); kind != "png" || err != nil {
		d.Errorf("the URL has a %s, %v", kind, err)
	}
}

// get is what is behind a URL, without a key.
func (d desk) get(url, kind string) []byte {
	d.Helper()
	answer, err := http.Get(url)
	d.must(err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != kind {
		d.Errorf("GET without a key: %v, %v, %v", answer.Status, answer.Header, err)
	}
	return b
}

// recordings records what is typed, and looks into the video with another
// program than made it: its index is read, and its last picture is the screen's.
func recordings(d desk) {
	_, w := d.start("gedit")
	began, err := d.session.StartRecording(d.Context(), agentbay.RecordingSpec{FrameRate: 5})
	d.must(err)
	if _, err := d.session.StartRecording(d.Context(), agentbay.RecordingSpec{}); !errors.Is(err, agentbay.Conflict) {
		d.Errorf("a second recording: %v, want Conflict", err)
	}
	d.must(d.Type(d.Context(), strings.Repeat("recorded ", 50)))
	d.eventually("the editor paints what was typed", func() bool { return darkPixels(d.picture(), w) > 200 })
	for range 2 { // whatever was being written then is not all that comes
		size := d.recorded()
		d.eventually("the video becomes longer", func() bool { return d.recorded() > size })
	}
	before := time.Now()
	r, err := d.session.StopRecording(d.Context())
	d.must(err)
	if r.Name != began.Name || r.Reason != "stopped" || r.EndedAt.Before(before.Add(-time.Minute)) {
		d.Errorf("recorded %+v", r)
	}
	video := d.get(r.URL, "video/mp4")
	if int64(len(video)) != r.Bytes {
		d.Errorf("the video is %d bytes long, want %d", len(video), r.Bytes)
	}
	d.must(d.session.FS(d.Context()).WriteFile("tmp/recording.mp4", video))
	probe, err := d.session.Command("ffprobe -v error -show_entries stream=codec_name,pix_fmt,width,height,nb_frames -of default=nw=1:nk=1 /tmp/recording.mp4").Output(d.Context())
	d.must(err)
	if fields := strings.Fields(string(probe)); len(fields) != 5 || fields[0] != "h264" || fields[1] != "1920" || fields[3] != "yuv420p" || fields[4] == "N/A" {
		d.Errorf("the video is %q", probe)
	}
	decoded, err := d.session.Command("ffmpeg -v warning -i /tmp/recording.mp4 -update 1 /tmp/last.png").CombinedOutput(d.Context())
	if err != nil || len(decoded) > 0 {
		d.Errorf("decoded: %s, %v", decoded, err)
	}
	b, err := d.session.FS(d.Context()).ReadFile("tmp/last.png")
	d.must(err)
	last, _, err := image.Decode(bytes.NewReader(b))
	d.must(err)
	if dark := darkPixels(last, w); dark < 200 {
		d.Errorf("%d pixels of the editor are dark in the last picture, so nothing was typed", dark)
	}
	if _, err := d.session.StopRecording(d.Context()); !errors.Is(err, agentbay.Conflict) {
		d.Errorf("stopped again: %v, want Conflict", err)
	}
}

// recorded is how long the last video is.
func (d desk) recorded() int64 {
	d.Helper()
	all, err := d.session.Recordings(d.Context())
	d.must(err)
	return all[len(all)-1].Bytes
}

// darkPixels counts the dark pixels in the middle of a window.
func darkPixels(img image.Image, w tool.Window) (n int) {
	for y := w.Y + w.Height/10; y < w.Y+w.Height*9/10; y++ {
		for x := w.X + w.Width/10; x < w.X+w.Width*9/10; x++ {
			if r, g, b, _ := img.At(x, y).RGBA(); r+g+b < 3*0x6000 {
				n++
			}
		}
	}
	return n
}

// editor types into a real editor, saves with its keys, and reads the file.
func editor(d desk) {
	name := "/home/wuying/typed.txt"
	d.must(d.session.FS(d.Context()).WriteFile(name[1:], nil))
	_, w := d.start("gedit " + name)
	d.eventually("gedit has its file", func() bool { return strings.Contains(d.window(w.ID).Title, "typed.txt") })
	text := "Hello from a session!\n你好，世界 – Привет – γειά σου – שלום\nemoji 🎉🚀, ß ä é, {[(<>)]} \\ | ~ ` ' \" $ % & # @\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog. 0123456789\n", 20)
	d.must(d.Type(d.Context(), text))
	d.must(d.Press(d.Context(), "Ctrl", "s"))
	d.eventually("the text is saved", func() bool { return len(d.read(name)) >= len(text) })
	if got := d.read(name); got != text+"\n" { // gedit ends the last line
		d.Errorf("saved %d bytes, want %d; the first difference is at %q", len(got), len(text)+1, difference(got, text))
	}
	d.must(d.Press(d.Context(), "ctrl", "A"))
	d.must(d.Press(d.Context(), "Delete"))
	d.must(d.Type(d.Context(), "short"))
	d.must(d.Press(d.Context(), "CTRL", "S"))
	d.eventually("the text is replaced", func() bool { return strings.TrimSpace(d.read(name)) == "short" })
}

// difference is where two texts part.
func difference(got, want string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return got[max(i-10, 0):min(i+10, len(got))]
		}
	}
	return "the end"
}

func heldKeys(d desk) {
	name := "/tmp/keys.txt"
	_, w := d.start(`lxterminal -e 'sh -c "stty -echo; cat > ` + name + `"'`)
	d.must(d.Activate(d.Context(), w.ID))
	d.must(d.Hold(d.Context(), "Shift"))
	d.must(d.Press(d.Context(), "a"))
	d.must(d.Press(d.Context(), "b"))
	d.must(d.Release(d.Context(), "shift"))
	d.must(d.Press(d.Context(), "c"))
	d.must(d.Press(d.Context(), "Return"))
	d.eventually("the line is written", func() bool { return strings.HasSuffix(d.read(name), "\n") })
	if got := d.read(name); got != "ABc\n" {
		d.Errorf("typed %q, want %q", got, "ABc\n")
	}
}

func windows(d desk) {
	_, w := d.start("pcmanfm /usr")
	d.must(d.Resize(d.Context(), w.ID, 900, 600))
	small := d.window(w.ID)
	if small.Width < 860 || small.Width > 940 || small.Height < 560 || small.Height > 640 {
		d.Errorf("resized to 900 × 600: %+v", small)
	}
	d.must(d.Maximize(d.Context(), w.ID))
	if now := d.window(w.ID); now.Width < 1900 || now.Height < 1000 || now.Height >= 1080 {
		d.Errorf("maximized beside the panel: %+v", now)
	}
	d.must(d.Fullscreen(d.Context(), w.ID))
	if now := d.window(w.ID); now.X != 0 || now.Y != 0 || now.Width != 1920 || now.Height != 1080 {
		d.Errorf("full screen: %+v", now)
	}
	d.must(d.Restore(d.Context(), w.ID))
	if now := d.window(w.ID); now.Width != small.Width || now.Height != small.Height {
		d.Errorf("restored: %+v, was %+v", now, small)
	}
	d.must(d.Minimize(d.Context(), w.ID))
	if a, err := d.ActiveWindow(d.Context()); err == nil && a.ID == w.ID {
		d.Errorf("minimized, it is active")
	}
	d.must(d.Restore(d.Context(), w.ID))
	if a, err := d.ActiveWindow(d.Context()); err != nil || a.ID != w.ID || a.Process != "pcmanfm" {
		d.Errorf("restored, %+v is active, %v", a, err)
	}
	from := d.window(w.ID)
	d.must(d.Drag(d.Context(), tool.Point{X: from.X + 300, Y: from.Y + 12}, tool.Point{X: from.X + 420, Y: from.Y + 92}, agentbay.LeftButton))
	if now := d.window(w.ID); now.X-from.X != 120 || now.Y-from.Y != 80 {
		d.Errorf("dragged by 120, 80: from %+v to %+v", from, now)
	}
	d.must(d.FocusMode(d.Context(), true))
	_, other := d.start("lxterminal")
	d.eventually("the new window does not keep the focus", func() bool {
		a, err := d.ActiveWindow(d.Context())
		return err == nil && a.ID == w.ID
	})
	d.must(d.FocusMode(d.Context(), false))
	d.must(d.Close(d.Context(), other.ID))
	d.must(d.Close(d.Context(), w.ID))
	d.eventually("both are closed", func() bool {
		list, err := d.Windows(d.Context())
		return err == nil && len(list) == 0
	})
}

func scrolling(d desk) {
	_, w := d.start(`lxterminal -e 'sh -c "seq 500; cat"'`)
	d.must(d.Maximize(d.Context(), w.ID))
	middle := tool.Point{X: 600, Y: 400}
	var before image.Image
	d.eventually("the terminal is drawn and at rest", func() bool {
		now := d.picture()
		same := before != nil && !differs(before, now, w)
		before = now
		return same
	})
	d.must(d.Scroll(d.Context(), middle, agentbay.Up, 5))
	d.eventually("scrolling shows something else", func() bool { return differs(before, d.picture(), d.window(w.ID)) })
	d.must(d.Scroll(d.Context(), middle, agentbay.Down, 50))
	for _, way := range []agentbay.Direction{agentbay.Left, agentbay.Right} {
		d.must(d.Scroll(d.Context(), middle, way, 2))
	}
}

// dialog answers a real dialog with the mouse and the keyboard.
func dialog(d desk) {
	name := "/tmp/answer.txt"
	_, w := d.start("zenity --entry --text=Name > " + name)
	d.must(d.Activate(d.Context(), w.ID))
	d.must(d.Type(d.Context(), "Ada 王\n"))
	var answer string
	defer func() {
		if d.Failed() {
			d.Logf("the answer is %q", answer)
		}
	}()
	d.eventually("the dialog has its answer", func() bool { answer = d.read(name); return answer == "Ada 王\n" })
}

func menus(d desk) {
	bare := d.picture()
	d.must(d.Click(d.Context(), tool.Point{X: 1200, Y: 300}, agentbay.RightButton))
	area := tool.Window{X: 1200, Y: 300, Width: 150, Height: 100}
	d.eventually("a menu appears", func() bool { return differs(bare, d.picture(), area) })
	d.must(d.Press(d.Context(), "Escape"))
	d.eventually("the menu is gone", func() bool { return !differs(bare, d.picture(), area) })
}

func applications(d desk) {
	all, err := d.Apps(d.Context(), tool.InstalledAppsIn{IgnoreTools: new(bool)})
	d.must(err)
	some, err := d.Apps(d.Context(), tool.InstalledAppsIn{})
	d.must(err)
	none, err := d.Apps(d.Context(), tool.InstalledAppsIn{StartMenu: new(bool)})
	d.must(err)
	if len(some) < 5 || len(all) < len(some) || len(none) != 0 {
		d.Errorf("%d applications, %d for work, %d on the desktop", len(all), len(some), len(none))
	}
	browser := slices.IndexFunc(some, func(a tool.App) bool { return strings.Contains(a.Name, "Chromium") })
	if browser < 0 {
		d.Fatalf("there is no Chromium in %+v", some)
	}
	first, _ := d.start(some[browser].StartCmd)
	d.must(d.StopName(d.Context(), first.Name))
	process, w := d.start("gedit")
	visible, err := d.VisibleApps(d.Context())
	if err != nil || !slices.ContainsFunc(visible, func(p tool.Process) bool { return p.PID == process.PID && p.Name == "gedit" }) {
		d.Errorf("visible: %+v, %v", visible, err)
	}
	d.must(d.StopPID(d.Context(), w.PID))
	if err := d.StopPID(d.Context(), w.PID); err == nil {
		d.Error("what is gone is stopped again")
	}
	d.start("gedit")
	d.must(d.StopCommand(d.Context(), "pkill -x gedit"))
	d.eventually("gedit is gone", func() bool { return d.StopName(d.Context(), "gedit") != nil })
}

func refusedByTheDesktop(d desk) {
	ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
	defer cancel()
	for want, call := range map[string]func() error{
		"not on the screen":                   func() error { return d.Click(ctx, tool.Point{X: -1, Y: 5}, agentbay.LeftButton) },
		"x must be from 0 to 1919":            func() error { return d.Move(ctx, tool.Point{X: 1920, Y: 5}) },
		"y from 0 to 1079":                    func() error { return d.Scroll(ctx, tool.Point{X: 5, Y: 5000}, agentbay.Up, 1) },
		"no mouse button \"fourth\"":          func() error { return d.Click(ctx, tool.Point{}, "fourth") },
		"use left, right or middle":           func() error { return d.Drag(ctx, tool.Point{}, tool.Point{}, "double_left") },
		"no direction":                        func() error { return d.Scroll(ctx, tool.Point{}, "sideways", 1) },
		"amount":                              func() error { return d.Scroll(ctx, tool.Point{}, agentbay.Up, 100_000) },
		"no key \"Hyperspace\"":               func() error { return d.Press(ctx, "Hyperspace") },
		"keys is empty":                       func() error { return d.Press(ctx) },
		"cannot be typed":                     func() error { return d.Type(ctx, "a\x00b") },
		"at most 131072":                      func() error { return d.Type(ctx, strings.Repeat("x", 1<<20+1)) },
		"there is no window 4242":             func() error { return d.Activate(ctx, 4242) },
		"no window -1":                        func() error { return d.Close(ctx, -1) },
		"no size for a window":                func() error { return d.Resize(ctx, 1, 0, -5) },
		"cannot be started":                   func() error { _, err := d.Start(ctx, "no-such-application --now"); return err },
		"it says why":                         func() error { _, err := d.Start(ctx, "echo it says why >&2; exit 3"); return err },
		"start_cmd is empty":                  func() error { _, err := d.Start(ctx, "  "); return err },
		"no process is named no-such-process": func() error { return d.StopName(ctx, "no-such-process") },
		"there is no process 999999":          func() error { return d.StopPID(ctx, 999999) },
		"the session itself":                  func() error { return d.StopPID(ctx, 1) },
		"failed (exit status 7)":              func() error { return d.StopCommand(ctx, "exit 7") },
		"no format \"gif\"":                   func() error { _, err := d.Screenshot(ctx, "gif"); return err },
	} {
		if err := call(); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), want) {
			d.Errorf("%v, want Invalid with %q", err, want)
		}
	}
}

// killedServer comes last: what was on the screen is gone with it.
func killedServer(d desk) {
	d.start("gedit")
	_, err := d.session.StartRecording(d.Context(), agentbay.RecordingSpec{})
	d.must(err)
	if out, err := d.session.Command("pkill -9 Xvnc").Output(d.Context()); err != nil {
		d.Fatalf("%s, %v", out, err)
	}
	d.eventually("the desktop is back", func() bool {
		list, err := d.Windows(d.Context())
		return err == nil && len(list) == 0
	})
	d.eventually("the recording goes on", func() bool {
		all, err := d.session.Recordings(d.Context())
		return err == nil && len(all) > 1 && all[len(all)-1].EndedAt.IsZero() && all[len(all)-2].Reason == "broke off"
	})
	d.start("gedit")
	d.must(d.session.Command("pkill -9 openbox").Run(d.Context()))
	d.eventually("the window manager is back", func() bool {
		_, w := d.start("lxterminal")
		return d.Maximize(d.Context(), w.ID) == nil
	})
}
