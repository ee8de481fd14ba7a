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
	updates() <-chan update         // of the picture, every one once it has arrived whole
	received() int64                // bytes until now
	close()
}

// A vncWatcher sees a session as its page does: RFB in a WebSocket, with the
// encodings, quality and continuous updates that noVNC asks for.
type vncWatcher struct {
	b     *testing.B
	conn  net.Conn
	in    *bufio.Reader
	tight tightReader
	got   chan update
	read  atomic.Int64
	over  atomic.Bool
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
	w.tight.in = w.in
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
	uncompressed        = 0
	copyRect            = 1
	tight               = 7
	lastRect            = -224
	cursor              = -239
	desktopSize         = -223
	extendedDesktopSize = -308
	desktopName         = -307
	qualityLevel7       = -32 + 7
	compressLevel2      = -256 + 2
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
	wanted := []int32{copyRect, tight, qualityLevel7, compressLevel2, desktopSize, lastRect, extendedDesktopSize, fence, continuousUpdates, desktopName, cursor}
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
			if head, err = take(w.in, 7); err == nil {
				n := int32(binary.BigEndian.Uint32(head[3:]))
				_, err = take(w.in, int(max(n, -n)))
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
	head, err := take(w.in, 8)
	if err != nil {
		return err
	}
	flags := binary.BigEndian.Uint32(head[3:])
	payload, err := take(w.in, int(head[7]))
	if err != nil || flags>>31 == 0 {
		return err
	}
	b := binary.BigEndian.AppendUint32([]byte{248, 0, 0, 0}, flags&^(1<<31))
	_, err = w.conn.Write(append(append(b, byte(len(payload))), payload...))
	return err
}

func (w *vncWatcher) readUpdate() (u update, err error) {
	head, err := take(w.in, 3)
	if err != nil {
		return u, err
	}
	for range binary.BigEndian.Uint16(head[1:]) {
		b, err := take(w.in, 12)
		if err != nil {
			return u, err
		}
		at := func(i int) int { return int(binary.BigEndian.Uint16(b[i:])) }
		kind := int32(binary.BigEndian.Uint32(b[8:]))
		if kind == lastRect {
			break
		}
		area := image.Rect(at(0), at(2), at(0)+at(4), at(2)+at(6))
		if kind < 0 {
			err = w.skip(kind, area.Size())
		} else {
			var p patch
			p, err = w.readPatch(kind, area)
			u.patches = append(u.patches, p)
		}
		if err != nil {
			return u, err
		}
	}
	u.at = time.Now()
	return u, nil
}

// readPatch reads a rectangle of the picture.
func (w *vncWatcher) readPatch(kind int32, area image.Rectangle) (p patch, err error) {
	p.area = area
	switch kind {
	case uncompressed:
		var pixels []byte
		pixels, err = take(w.in, 4*area.Dx()*area.Dy())
		picture := &image.RGBA{Pix: pixels, Stride: 4 * area.Dx(), Rect: image.Rectangle{Max: area.Size()}}
		p.decode = func() (image.Image, error) { return picture, nil }
	case copyRect:
		var from []byte
		if from, err = take(w.in, 4); err == nil {
			p.from = image.Pt(int(binary.BigEndian.Uint16(from)), int(binary.BigEndian.Uint16(from[2:])))
		}
	case tight:
		p.decode, err = w.tight.read(area.Size())
	default:
		err = fmt.Errorf("encoding %d", kind)
	}
	return p, err
}

// skip reads a rectangle that is not of the picture.
func (w *vncWatcher) skip(kind int32, size image.Point) (err error) {
	var head []byte
	switch kind {
	case cursor:
		_, err = take(w.in, 4*size.X*size.Y+(size.X+7)/8*size.Y)
	case desktopSize:
	case extendedDesktopSize:
		if head, err = take(w.in, 4); err == nil {
			_, err = take(w.in, 16*int(head[0]))
		}
	case desktopName:
		if head, err = take(w.in, 4); err == nil {
			_, err = take(w.in, int(binary.BigEndian.Uint32(head)))
		}
	default:
		err = fmt.Errorf("encoding %d", kind)
	}
	return err
}
