package bench

import (
	"image"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// What a person at the live view waits for, and what the network carries: from
// the input until its effect has arrived as pictures. Typing, scrolling and
// dragging are measured one after the other, with a pause in between; a video is
// watched a second at a time. Each in a session of its own kind of program, over
// loopback, and over a network with 40 ms from end to end and back and 1 % of the
// packets lost in each direction.
func BenchmarkLiveView(b *testing.B) {
	on := bay(b, tiers[0], "--warm", "linux_latest=0")
	for _, n := range networks {
		for _, activity := range []struct {
			name string
			run  func(*testing.B, *agentbay.Session, watcher)
		}{{"type", typing}, {"scroll", scrolling}, {"drag", dragging}, {"video", video}} {
			b.Run(activity.name+"/"+n.name, func(b *testing.B) {
				s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Delete(b.Context())
				w := watch(b, on, s, n.open(b))
				defer w.close()
				activity.run(b, s, w)
			})
		}
	}
}

// open starts a program and returns where its window is.
func open(b *testing.B, s *agentbay.Session, command string) (area image.Rectangle) {
	b.Helper()
	started, err := s.Computer().Start(b.Context(), command)
	if err != nil {
		b.Fatal(err)
	}
	windows, err := s.Computer().Windows(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, w := range windows {
		if w.PID == started[0].PID {
			return image.Rect(w.X, w.Y, w.X+w.Width, w.Y+w.Height)
		}
	}
	b.Fatalf("%s has no window", command)
	panic("unreachable")
}

// pause is how long the picture has to be still before the next input.
const pause = 150 * time.Millisecond

// measured repeats an input and reports how long its effect took to be seen, and
// how many bytes came of it until the picture was still.
func measured(b *testing.B, w watcher, act func(i int) (area image.Rectangle, pixels int)) {
	b.Helper()
	var t times
	quiet(w, time.Second)
	before, i := w.received(), 0
	for b.Loop() {
		start := time.Now()
		area, pixels := act(i)
		seen(b, w, area, pixels)
		t = append(t, time.Since(start))
		quiet(w, pause)
		i++
	}
	t.report(b)
	b.ReportMetric(float64(w.received()-before)/1024/float64(i), "KiB/op")
}

// typing types into a terminal. A character is some hundred pixels; a cursor that
// blinks is fewer.
func typing(b *testing.B, s *agentbay.Session, w watcher) {
	area := open(b, s, "lxterminal -e cat")
	measured(b, w, func(i int) (image.Rectangle, int) {
		w.key(uint32('a' + i%26))
		return area, 200
	})
}

const longPage = `<body style='font:16px sans-serif;width:900px;margin:auto'><script>
for (let i = 0; i < 3000; i++) { const p = document.createElement('p'); p.textContent = i + ' ' + 'The quick brown fox jumps over the lazy dog. '.repeat(1 + i % 7); p.style.color = 'hsl(' + i * 7 % 360 + ',60%,30%)'; document.body.append(p); }
</script>`

// scrolling turns the wheel on a long page, until a fifth of the window is new.
func scrolling(b *testing.B, s *agentbay.Session, w watcher) {
	if err := s.FS(b.Context()).WriteFile("tmp/page.html", []byte(longPage)); err != nil {
		b.Fatal(err)
	}
	area := open(b, s, "chromium --start-maximized --disable-smooth-scrolling file:///tmp/page.html")
	middle := area.Min.Add(area.Size().Div(2))
	time.Sleep(5 * time.Second) // for which there is no event: a browser paints when it has loaded
	w.pointer(middle.X, middle.Y, 0)
	measured(b, w, func(int) (image.Rectangle, int) {
		w.pointer(middle.X, middle.Y, 1<<4)
		w.pointer(middle.X, middle.Y, 0)
		return area, area.Dx() * area.Dy() / 5
	})
}

// dragging moves a window by its title, to and fro, until most of where it is now
// has been drawn.
func dragging(b *testing.B, s *agentbay.Session, w watcher) {
	area := open(b, s, "lxterminal")
	if err := s.Computer().Drag(b.Context(), tool.Point{X: area.Min.X + 200, Y: area.Min.Y + 10}, tool.Point{X: 400, Y: 200}, agentbay.LeftButton); err != nil {
		b.Fatal(err)
	}
	x, y := 400, 200
	w.pointer(x, y, 0)
	w.pointer(x, y, 1)
	measured(b, w, func(i int) (image.Rectangle, int) {
		step := 60
		if i/8%2 == 1 {
			step = -step
		}
		x += step
		w.pointer(x, y, 1)
		now := image.Rect(x-200, y-10, x-200+area.Dx(), y-10+area.Dy())
		return now, now.Dx() * now.Dy() / 2
	})
	w.pointer(x, y, 0)
}

// video watches one of 25 frames a second and 1280 × 720 pixels.
func video(b *testing.B, s *agentbay.Session, w watcher) {
	area := open(b, s, "ffplay -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=25")
	const length = time.Second
	var frames int
	var received int64
	for b.Loop() {
		quiet(w, 0)
		before := w.received()
		for over := time.After(length); ; {
			select {
			case u := <-w.updates():
				if u.within(area) > area.Dx()*area.Dy()/4 {
					frames++
				}
				continue
			case <-over:
			}
			break
		}
		received += w.received() - before
	}
	seconds := float64(b.N) * length.Seconds()
	b.ReportMetric(float64(frames)/seconds, "frames/s")
	b.ReportMetric(float64(received)/1024/seconds, "KiB/s")
}
