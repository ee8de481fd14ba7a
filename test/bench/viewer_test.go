package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// A watcher is a person's end of a live view, whatever carries the pictures. What
// takes the place of RFB is measured as another one.
type watcher interface {
	key(sym uint32)                 // presses and releases one
	pointer(x, y int, buttons byte) // as RFB has buttons
	updates() <-chan update         // every change of the picture, once it has arrived whole
	received() int64                // bytes until now
	close()
}

// An update is a change of the picture.
type update struct {
	areas []image.Rectangle
}

// within is how many pixels of an area an update has changed.
func (u update) within(area image.Rectangle) (n int) {
	for _, a := range u.areas {
		in := a.Intersect(area)
		n += in.Dx() * in.Dy()
	}
	return n
}

// A vncWatcher sees a session as its page does: RFB in a WebSocket, with the
// encodings, quality and continuous updates that noVNC asks for.
type vncWatcher struct {
	b    *testing.B
	conn net.Conn
	in   *bufio.Reader
	got  chan update
	read atomic.Int64
	over atomic.Bool
}

// watch opens a session's page over a network.
func watch(b *testing.B, on *live.Bay, s *agentbay.Session, way dial) watcher {
	b.Helper()
	link, err := s.ViewLink(b.Context(), false)
	if err != nil {
		b.Fatal(err)
	}
	page, err := url.Parse(link)
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.Atoi(page.Port())
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return way(ctx, port) },
	}}
	open := func(part string, kind websocket.MessageType) net.Conn {
		address := fmt.Sprintf("ws://%s%s%s?viewer=%s", page.Host, page.Path, part, strings.Repeat("v", 40))
		ws, _, err := websocket.Dial(b.Context(), address, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { ws.CloseNow() })
		ws.SetReadLimit(-1)
		return websocket.NetConn(b.Context(), ws, kind)
	}
	seat := open("control", websocket.MessageText)
	go io.Copy(io.Discard, seat)
	w := &vncWatcher{b: b, conn: open("screen", websocket.MessageBinary), got: make(chan update, 10_000)}
	w.in = bufio.NewReaderSize(counting{w.conn, &w.read}, 256<<10)
	if err := w.greet(); err != nil {
		b.Fatal(err)
	}
	go w.listen()
	return w
}

// A counting reader counts what is read.
type counting struct {
	r io.Reader
	n *atomic.Int64
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (w *vncWatcher) close() {
	w.over.Store(true)
	w.conn.Close()
}

func (w *vncWatcher) received() int64        { return w.read.Load() }
func (w *vncWatcher) updates() <-chan update { return w.got }

func (w *vncWatcher) key(sym uint32) {
	var b []byte
	for _, down := range []byte{1, 0} {
		b = binary.BigEndian.AppendUint32(append(b, 4, down, 0, 0), sym)
	}
	w.conn.Write(b)
}

func (w *vncWatcher) pointer(x, y int, buttons byte) {
	b := binary.BigEndian.AppendUint16([]byte{5, buttons}, uint16(x))
	w.conn.Write(binary.BigEndian.AppendUint16(b, uint16(y)))
}

// Encodings and messages of RFB, and of what noVNC knows beyond RFC 6143.
const (
	copyRect            = 1
	tight               = 7
	lastRect            = -224
	cursor              = -239
	desktopSize         = -223
	extendedDesktopSize = -308
	desktopName         = -307
	qualityLevel7       = -32 + 7
	compressLevel1      = -256 + 1
	fence               = -312
	continuousUpdates   = -313
)

// greet does the handshake and asks for pictures.
func (w *vncWatcher) greet() error {
	for _, step := range []struct {
		read int
		say  string
	}{{12, "RFB 003.008\n"}, {2, "\x01"}, {4, "\x01"}} {
		if _, err := io.ReadFull(w.in, make([]byte, step.read)); err != nil {
			return err
		}
		if _, err := io.WriteString(w.conn, step.say); err != nil {
			return err
		}
	}
	head := make([]byte, 24)
	if _, err := io.ReadFull(w.in, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, w.in, int64(binary.BigEndian.Uint32(head[20:]))); err != nil {
		return err
	}
	say := []byte{0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0} // 32 bits a pixel, of which 24 are used
	wanted := []int32{copyRect, tight, qualityLevel7, compressLevel1, desktopSize, lastRect, extendedDesktopSize, fence, continuousUpdates, desktopName, cursor}
	say = binary.BigEndian.AppendUint16(append(say, 2, 0), uint16(len(wanted)))
	for _, e := range wanted {
		say = binary.BigEndian.AppendUint32(say, uint32(e))
	}
	say = append(say, request(0)...)
	_, err := w.conn.Write(say)
	return err
}

// The whole screen, as a viewer asks for it.
const screenWidth, screenHeight = 1920, 1080

func wholeScreen() []byte {
	return []byte{0, 0, 0, 0, screenWidth >> 8, screenWidth & 255, screenHeight >> 8, screenHeight & 255}
}

func request(incremental byte) []byte { return append([]byte{3, incremental}, wholeScreen()...) }

// listen takes what the screen sends until the connection ends.
func (w *vncWatcher) listen() {
	defer close(w.got)
	continuous := false
	for {
		kind, err := w.in.ReadByte()
		if err != nil {
			return
		}
		switch kind {
		case 0:
			var u update
			if u, err = w.readUpdate(); err == nil && !continuous {
				_, err = w.conn.Write(request(1))
			}
			w.got <- u
		case 2: // bell
		case 3: // clipboard
			var head []byte
			if head, err = w.take(7); err == nil {
				n := int32(binary.BigEndian.Uint32(head[3:]))
				_, err = w.take(int(max(n, -n)))
			}
		case 150: // continuous updates can be had
			continuous = true
			_, err = w.conn.Write(append([]byte{150, 1}, wholeScreen()...))
		case 248:
			err = w.answerFence()
		default:
			err = fmt.Errorf("message %d", kind)
		}
		if err != nil {
			if !w.over.Load() {
				w.b.Errorf("the live view: %v", err)
			}
			return
		}
	}
}

func (w *vncWatcher) answerFence() error {
	head, err := w.take(8)
	if err != nil {
		return err
	}
	flags := binary.BigEndian.Uint32(head[3:])
	payload, err := w.take(int(head[7]))
	if err != nil || flags>>31 == 0 {
		return err
	}
	b := binary.BigEndian.AppendUint32([]byte{248, 0, 0, 0}, flags&^(1<<31))
	_, err = w.conn.Write(append(append(b, byte(len(payload))), payload...))
	return err
}

func (w *vncWatcher) take(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(w.in, b)
	return b, err
}

func (w *vncWatcher) readUpdate() (u update, err error) {
	head, err := w.take(3)
	if err != nil {
		return u, err
	}
	for range binary.BigEndian.Uint16(head[1:]) {
		b, err := w.take(12)
		if err != nil {
			return u, err
		}
		at := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
		width, height := at(4), at(6)
		kind := int32(binary.BigEndian.Uint32(b[8:]))
		if kind == lastRect {
			return u, nil
		}
		if err := w.skipRect(kind, width, height); err != nil {
			return u, err
		}
		if kind >= 0 {
			u.areas = append(u.areas, image.Rect(at(0), at(2), at(0)+width, at(2)+height))
		}
	}
	return u, nil
}

// skipRect reads what a rectangle consists of.
func (w *vncWatcher) skipRect(kind int32, width, height int) (err error) {
	switch kind {
	case 0:
		_, err = w.take(4 * width * height)
	case copyRect:
		_, err = w.take(4)
	case tight:
		err = w.skipTight(width, height)
	case cursor:
		_, err = w.take(4*width*height + (width+7)/8*height)
	case desktopSize:
	case extendedDesktopSize:
		var head []byte
		if head, err = w.take(4); err == nil {
			_, err = w.take(16 * int(head[0]))
		}
	case desktopName:
		var head []byte
		if head, err = w.take(4); err == nil {
			_, err = w.take(int(binary.BigEndian.Uint32(head)))
		}
	default:
		err = fmt.Errorf("encoding %d", kind)
	}
	return err
}

// skipTight reads a rectangle of the encoding Tight.
func (w *vncWatcher) skipTight(width, height int) error {
	control, err := w.in.ReadByte()
	if err != nil {
		return err
	}
	switch kind := control >> 4; {
	case kind == 8: // one colour
		_, err = w.take(3)
		return err
	case kind == 9: // JPEG
		return w.skipCompact()
	case kind > 9:
		return fmt.Errorf("tight %d", kind)
	}
	size := width * height * 3
	if control&0x40 != 0 {
		filter, err := w.in.ReadByte()
		if err != nil {
			return err
		}
		if filter == 1 { // a palette
			n, err := w.in.ReadByte()
			if err != nil {
				return err
			}
			if _, err := w.take(3 * (int(n) + 1)); err != nil {
				return err
			}
			size = width * height
			if n == 1 {
				size = (width + 7) / 8 * height
			}
		}
	}
	if size < 12 {
		_, err := w.take(size)
		return err
	}
	return w.skipCompact()
}

// skipCompact reads bytes with their number before them, seven bits a byte.
func (w *vncWatcher) skipCompact() error {
	n := 0
	for shift := 0; shift < 21; shift += 7 {
		b, err := w.in.ReadByte()
		if err != nil {
			return err
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	_, err := w.take(n)
	return err
}

// quiet waits until the picture has not changed for a while.
func quiet(w watcher, d time.Duration) {
	for {
		select {
		case _, ok := <-w.updates():
			if !ok {
				return
			}
		case <-time.After(d):
			return
		}
	}
}

// seen waits until at least some pixels of an area have changed.
func seen(b *testing.B, w watcher, area image.Rectangle, pixels int) {
	limit := time.After(20 * time.Second)
	for n := 0; n < pixels; {
		select {
		case u, ok := <-w.updates():
			if !ok {
				b.Fatal("the live view has ended")
			}
			n += u.within(area)
		case <-limit:
			b.Fatalf("of %v only %d pixels change, and %d should", area, n, pixels)
		}
	}
}
