//go:build linux

package x11_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/guest/desktop"
	"github.com/agentbay/agentbay/internal/guest/desktop/x11"
	"github.com/agentbay/agentbay/tool"
)

// freePort finds a port that nobody has.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// config is a desktop that this machine can have.
func config(t testing.TB) x11.Config {
	t.Helper()
	for _, name := range []string{"Xvnc", "openbox", "xterm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed; scripts/setup --test installs it", name)
		}
	}
	rc, err := filepath.Abs("../../../../images/linux/files/etc/xdg/openbox/rc.xml")
	must(t, err)
	return x11.Config{
		Width: 1280, Height: 800, Port: freePort(t), Env: os.Environ(), Manager: []string{"openbox", "--config-file", rc},
	}
}

// start starts a desktop on this machine.
func start(t testing.TB) *x11.Session {
	t.Helper()
	return startWith(t, config(t))
}

func startWith(t testing.TB, c x11.Config) *x11.Session {
	t.Helper()
	s, err := x11.Start(t.Context(), c)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func screenOf(t testing.TB, s *x11.Session) desktop.Screen {
	t.Helper()
	screen, err := s.Screen()
	if err != nil {
		t.Fatal(err)
	}
	return screen
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that happens on the screen.
func eventually(t testing.TB, s desktop.Screen, what string, holds func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		changed := s.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond): // what shows in a file only
		case <-limit:
			t.Fatalf("%s: it does not happen", what)
		}
	}
}

// open starts a program on the display and returns its window.
func open(t testing.TB, screen desktop.Screen, display string, argv ...string) tool.Window {
	t.Helper()
	before, err := screen.Windows(t.Context())
	must(t, err)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DISPLAY="+display)
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var w tool.Window
	eventually(t, screen, strings.Join(argv, " ")+" shows a window", func() bool {
		list, err := screen.Windows(t.Context())
		must(t, err)
		if len(list) <= len(before) {
			return false
		}
		w = list[0]
		active, err := screen.Active(t.Context())
		return err == nil && active.ID == w.ID
	})
	return w
}

func TestTypedTextArrives(t *testing.T) {
	s := start(t)
	screen := screenOf(t, s)
	file := filepath.Join(t.TempDir(), "typed")
	open(t, screen, s.Display(), "xterm", "-u8", "-e", "sh", "-c", "stty -echo; cat > "+file)
	text := "Hello, World! {}[]~|\\ äöü ß € 你好世界 Привет 🎉🚀\n" + strings.Repeat("The quick brown fox. ", 50) + "\n" +
		chinese(600) + "\nlast line\n"
	must(t, screen.Type(t.Context(), text))
	eventually(t, screen, "the text is in the file", func() bool {
		b, _ := os.ReadFile(file)
		return strings.HasSuffix(string(b), "last line\n")
	})
	if b, _ := os.ReadFile(file); string(b) != text {
		t.Errorf("typed %q, want %q", b, text)
	}
}

// chinese is n different characters.
func chinese(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(rune(0x4e00 + i))
		if i%40 == 39 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func TestAWindowIsWhatItIsToldToBe(t *testing.T) {
	s := start(t)
	screen := screenOf(t, s)
	w := open(t, screen, s.Display(), "xterm")
	now := func() tool.Window {
		list, err := screen.Windows(t.Context())
		must(t, err)
		for _, x := range list {
			if x.ID == w.ID {
				return x
			}
		}
		t.Fatal("the window is gone")
		return w
	}
	must(t, screen.Resize(t.Context(), w.ID, 700, 400))
	if got := now(); got.Width < 660 || got.Width > 740 || got.Height < 360 || got.Height > 440 {
		t.Errorf("resized to 700 × 400: %+v", got)
	}
	small := now()
	must(t, screen.Change(t.Context(), w.ID, desktop.Maximize))
	if got := now(); got.Width < 1240 || got.Height < 740 {
		t.Errorf("maximized: %+v", got)
	}
	must(t, screen.Change(t.Context(), w.ID, desktop.Restore))
	if got := now(); got.Width != small.Width || got.Height != small.Height {
		t.Errorf("restored: %+v, want %+v", got, small)
	}
	must(t, screen.Change(t.Context(), w.ID, desktop.Fullscreen))
	if got := now(); got.X != 0 || got.Y != 0 || got.Width < 1270 || got.Height < 790 {
		t.Errorf("full screen: %+v", got)
	}
	must(t, screen.Change(t.Context(), w.ID, desktop.Restore))
	must(t, screen.Change(t.Context(), w.ID, desktop.Minimize))
	if a, err := screen.Active(t.Context()); err != nil || a.ID == w.ID {
		t.Errorf("minimized, it is active: %+v, %v", a, err)
	}
	must(t, screen.Change(t.Context(), w.ID, desktop.Activate))
	if a, err := screen.Active(t.Context()); err != nil || a.ID != w.ID {
		t.Errorf("activated, this is active: %+v, %v", a, err)
	}
	from := now()
	must(t, screen.Drag(t.Context(), tool.Point{X: from.X + from.Width/2, Y: from.Y + 10}, tool.Point{X: from.X + from.Width/2 + 120, Y: from.Y + 90}, desktop.Left))
	if got := now(); got.X-from.X < 100 || got.Y-from.Y < 60 {
		t.Errorf("dragged by its title: from %+v to %+v", from, got)
	}
	must(t, screen.Change(t.Context(), w.ID, desktop.CloseIt))
	if list, err := screen.Windows(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("closed: %+v, %v", list, err)
	}
	for _, c := range []desktop.Change{desktop.Activate, desktop.CloseIt, desktop.Maximize, desktop.Restore} {
		if err := screen.Change(t.Context(), w.ID, c); err == nil || !strings.Contains(err.Error(), "no window") {
			t.Errorf("change %d of a dead window: %v", c, err)
		}
	}
}

func TestKeysAreHeldAndReleased(t *testing.T) {
	s := start(t)
	screen := screenOf(t, s)
	file := filepath.Join(t.TempDir(), "typed")
	open(t, screen, s.Display(), "xterm", "-u8", "-e", "sh", "-c", "stty -echo; cat > "+file)
	must(t, screen.Press(t.Context(), []desktop.Key{"shift"}, true))
	must(t, screen.Press(t.Context(), []desktop.Key{"a"}, false))
	must(t, screen.Type(t.Context(), "b"))
	must(t, screen.Release(t.Context(), []desktop.Key{"shift"}))
	must(t, screen.Press(t.Context(), []desktop.Key{"c"}, false))
	must(t, screen.Press(t.Context(), []desktop.Key{"!"}, false))
	must(t, screen.Press(t.Context(), []desktop.Key{"ж"}, false))
	must(t, screen.Press(t.Context(), []desktop.Key{"return"}, false))
	must(t, screen.Press(t.Context(), []desktop.Key{"ctrl", "d"}, false))
	eventually(t, screen, "the text is in the file", func() bool {
		list, err := screen.Windows(t.Context())
		return err == nil && len(list) == 0
	})
	if b, _ := os.ReadFile(file); string(b) != "Abc!ж\n" {
		t.Errorf("typed %q", b)
	}
}

func TestAPictureShowsWhatIsThere(t *testing.T) {
	s := start(t)
	screen := screenOf(t, s)
	sum := func() (n int) {
		must(t, screen.Picture(t.Context(), func(p desktop.Picture) error {
			if p.Width != 1280 || p.Height != 800 {
				t.Errorf("a picture of %d × %d", p.Width, p.Height)
			}
			for i := 0; i < len(p.Pix); i += 4 {
				n += int(p.Pix[i]) + int(p.Pix[i+1]) + int(p.Pix[i+2])
			}
			return nil
		}))
		return n
	}
	bare := sum()
	if bare == 0 {
		t.Error("the desktop is not painted")
	}
	open(t, screen, s.Display(), "xterm", "-bg", "white", "-geometry", "120x40")
	if now := sum(); now < bare*2 {
		t.Errorf("a white window makes the picture as bright as %d, from %d", now, bare)
	}
}

func TestAKilledServerComesBack(t *testing.T) {
	c := config(t)
	s := startWith(t, c)
	screen := screenOf(t, s)
	must(t, exec.Command("pkill", "-9", "-f", "Xvnc -displayfd .*"+strconv.Itoa(c.Port)).Run())
	if _, err := screen.Windows(t.Context()); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("a call while there is no X server: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if now, err := s.Screen(); err == nil && now != screen {
			must(t, now.Move(ctx, tool.Point{X: 5, Y: 6}))
			return
		}
		time.Sleep(10 * time.Millisecond) // nobody tells when it is back
	}
	t.Error("the desktop does not come back")
}

func TestFocusModeKeepsTheFocus(t *testing.T) {
	s := start(t)
	screen := screenOf(t, s)
	first := open(t, screen, s.Display(), "xterm")
	screen.FocusMode(true)
	cmd := exec.Command("xterm")
	cmd.Env = append(os.Environ(), "DISPLAY="+s.Display())
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, screen, "another window appears, and the first stays active", func() bool {
		list, err := screen.Windows(t.Context())
		must(t, err)
		active, err := screen.Active(t.Context())
		return err == nil && len(list) == 2 && active.ID == first.ID
	})
}

func BenchmarkDesktop(b *testing.B) {
	s := start(b)
	screen := screenOf(b, s)
	open(b, screen, s.Display(), "xterm")
	for name, do := range map[string]func() error{
		"click":   func() error { return screen.Click(b.Context(), tool.Point{X: 300, Y: 200}, desktop.Left, 1) },
		"windows": func() error { _, err := screen.Windows(b.Context()); return err },
		"picture": func() error { return screen.Picture(b.Context(), func(desktop.Picture) error { return nil }) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, do())
			}
		})
	}
}
