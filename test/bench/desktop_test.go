package bench

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// desk makes a session with a screen, on which an editor is open.
func desk(b *testing.B, tier string) (*agentbay.Session, agentbay.Computer) {
	b.Helper()
	on := bay(b, tier, "--warm", "linux_latest=0")
	s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Computer().Start(b.Context(), "gedit"); err != nil {
		b.Fatal(err)
	}
	return s, s.Computer()
}

// What a call of each kind takes, from the client to the end of its effect.
func BenchmarkDesktop(b *testing.B) {
	for _, tier := range tiers {
		s, c := desk(b, tier)
		calls := map[string]func() error{
			"click":   func() error { return c.Click(b.Context(), tool.Point{X: 960, Y: 500}, agentbay.LeftButton) },
			"windows": func() error { _, err := c.Windows(b.Context()); return err },
			"png":     func() error { _, err := c.Screenshot(b.Context(), "png"); return err },
			"jpeg":    func() error { _, err := c.Screenshot(b.Context(), "jpeg"); return err },
			"url":     func() error { _, err := c.ScreenshotURL(b.Context()); return err },
			"type":    func() error { return c.Type(b.Context(), "The quick brown fox jumps over the lazy dog. ") },
			"ffmpeg": func() error {
				return s.Command("ffmpeg -loglevel error -y -f x11grab -video_size 1920x1080 -i :0 -frames:v 1 /tmp/shot.png").Run(b.Context())
			},
		}
		// Before a picture of a changed screen, the editor is maximized or restored:
		// most of the screen is another then.
		before := map[string]func(){"png-changed": flip(b, c), "jpeg-changed": flip(b, c)}
		calls["png-changed"], calls["jpeg-changed"] = calls["png"], calls["jpeg"]
		for _, name := range []string{"click", "windows", "png", "png-changed", "jpeg", "jpeg-changed", "url", "type", "ffmpeg"} {
			b.Run(name+"/"+tier, func(b *testing.B) {
				var t times
				for b.Loop() {
					if prepare := before[name]; prepare != nil {
						prepare()
					}
					t.measure(func() {
						if err := calls[name](); err != nil {
							b.Fatal(err)
						}
					})
				}
				t.report(b)
			})
		}
	}
}

// flip maximizes the active window, and restores it the next time.
func flip(b *testing.B, c agentbay.Computer) func() {
	large := false
	return func() {
		w, err := c.ActiveWindow(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if large = !large; large {
			err = c.Maximize(b.Context(), w.ID)
		} else {
			err = c.Restore(b.Context(), w.ID)
		}
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // for which there is no event: the program paints
	}
}

// ownStart prints how many milliseconds an X server and a window manager take to
// start by themselves, one after the other.
const ownStart = `cd /tmp; rm -f x w; mkfifo x w; a=$(date +%s%N)
Xvnc :9 -displayfd 5 -geometry 1920x1080 -depth 24 -rfbport 5999 -SecurityTypes None 5>x >/dev/null 2>&1 & server=$!
read -r _ <x; b=$(date +%s%N)
DISPLAY=:9 openbox --startup "sh -c 'echo > /tmp/w'" >/dev/null 2>&1 &
read -r _ <w; c=$(date +%s%N); kill $server; wait $server 2>/dev/null
echo $(( (b-a)/1000 )) $(( (c-b)/1000 ))`

// From nothing to a session whose desktop is painted and takes input, beside one
// of the same machine without a desktop, and beside what the parts of a desktop
// take by themselves.
func BenchmarkDesktopStart(b *testing.B) {
	for _, tier := range tiers {
		for _, image := range []string{"linux_latest", "code_latest"} {
			b.Run(image+"/"+tier, func(b *testing.B) {
				on := bay(b, tier, "--warm", "linux_latest=0")
				var t times
				for b.Loop() {
					var s *agentbay.Session
					var err error
					t.measure(func() { s, err = on.Client.Create(b.Context(), agentbay.SessionSpec{Image: image}) })
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Delete(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				t.report(b)
			})
		}
		b.Run("parts/"+tier, func(b *testing.B) {
			s, _ := desk(b, tier)
			var server, manager times
			for b.Loop() {
				cmd := s.Command(ownStart)
				out, err := cmd.Output(b.Context())
				if err != nil {
					b.Fatalf("%s, %v", out, err)
				}
				took := strings.Fields(string(out))
				for i, t := range []*times{&server, &manager} {
					us, err := strconv.Atoi(took[i])
					if err != nil {
						b.Fatal(err)
					}
					*t = append(*t, time.Duration(us)*time.Microsecond)
				}
			}
			server.report(b)
			b.ReportMetric(ms(manager[len(manager)/2]), "manager-ms")
		})
	}
}
