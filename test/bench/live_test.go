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
			run  func(*testing.B, *agentbay.Session, *eye)
		}{{"type", typing}, {"scroll", scrolling}, {"drag", dragging}, {"video", video}} {
			b.Run(activity.name+"/"+n.String(), func(b *testing.B) {
				s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Delete(b.Context())
				e := newEye(b, watch(b, on, s, n.open(b)))
				defer e.close()
				activity.run(b, s, e)
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

// measured repeats an input and reports how long its effect took to be seen, and
// how many bytes came of it until the picture was still.
func measured(b *testing.B, e *eye, act func(i int) (area image.Rectangle, pixels int)) {
	b.Helper()
	var t times
	e.settle()
	before, i := e.received(), 0
	for b.Loop() {
		start := time.Now()
		area, pixels := act(i)
		t = append(t, e.effect(area, pixels).Sub(start))
		i++
	}
	t.report(b)
	b.ReportMetric(float64(e.received()-before)/1024/float64(i), "KiB/op")
}

// A terminal without a cursor, which would blink, and changes by what is typed only.
const terminal = `lxterminal -e "sh -c 'tput civis; exec cat'"`

// typing types into a terminal. The smallest characters are some ten pixels.
func typing(b *testing.B, s *agentbay.Session, e *eye) {
	area := open(b, s, terminal)
	measured(b, e, func(i int) (image.Rectangle, int) {
		e.key(uint32('a' + i%26))
		return area, 10
	})
}

const longPage = `<body style='font:16px sans-serif;width:900px;margin:auto'><script>
for (let i = 0; i < 3000; i++) { const p = document.createElement('p'); p.textContent = i + ' ' + 'The quick brown fox jumps over the lazy dog. '.repeat(1 + i % 7); p.style.color = 'hsl(' + i * 7 % 360 + ',60%,30%)'; document.body.append(p); }
</script>`

// scrolling turns the wheel on a long page. A tenth of the window looks different
// then: the letters, of which the browser shows all or none.
func scrolling(b *testing.B, s *agentbay.Session, e *eye) {
	if err := s.FS(b.Context()).WriteFile("tmp/page.html", []byte(longPage)); err != nil {
		b.Fatal(err)
	}
	area := open(b, s, "chromium --start-maximized --disable-smooth-scrolling file:///tmp/page.html")
	middle := area.Min.Add(area.Size().Div(2))
	time.Sleep(5 * time.Second) // for which there is no event: a browser paints when it has loaded
	e.pointer(middle.X, middle.Y, 0)
	measured(b, e, func(int) (image.Rectangle, int) {
		e.pointer(middle.X, middle.Y, 1<<4)
		e.pointer(middle.X, middle.Y, 0)
		return area, area.Dx() * area.Dy() / 50
	})
}

// dragging moves a window by its title, to and fro, until the picture shows where
// it is and what it no longer hides. The first movement, with which a window manager
// takes the window in hand, is not measured.
func dragging(b *testing.B, s *agentbay.Session, e *eye) {
	area := open(b, s, terminal)
	if err := s.Computer().Drag(b.Context(), tool.Point{X: area.Min.X + 200, Y: area.Min.Y + 10}, tool.Point{X: 400, Y: 200}, agentbay.LeftButton); err != nil {
		b.Fatal(err)
	}
	x, y := 400, 200
	e.pointer(x, y, 0)
	e.pointer(x, y, 1)
	x += 20
	e.pointer(x, y, 1)
	measured(b, e, func(i int) (image.Rectangle, int) {
		step := 60
		if i/8%2 == 1 {
			step = -step
		}
		at := func(x int) image.Rectangle { return image.Rect(x-200, y-10, x-200+area.Dx(), y-10+area.Dy()) }
		x += step
		e.pointer(x, y, 1)
		return at(x - step).Union(at(x)), 30 * area.Dy()
	})
	e.pointer(x, y, 0)
}

// video watches one of 25 frames a second and 1280 × 720 pixels.
func video(b *testing.B, s *agentbay.Session, e *eye) {
	area := open(b, s, "ffplay -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=25")
	const length = time.Second
	var frames int
	var received int64
	for b.Loop() {
		missed := e.gather(5 * time.Millisecond) // what came while the second before was decoded
		before := e.received()
		us := e.watch(length)
		received += e.received() - before
		e.put(e.screen, missed...)
		frames += e.changes(us, area, area.Dx()*area.Dy()/100)
	}
	seconds := float64(b.N) * length.Seconds()
	b.ReportMetric(float64(frames)/seconds, "frames/s")
	b.ReportMetric(float64(received)/1024/seconds, "KiB/s")
}
