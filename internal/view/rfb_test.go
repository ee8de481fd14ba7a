package view

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// cutText is a message that puts text on the clipboard; a negative sign is the
// extended form's.
func cutText(n, sign int) []byte {
	b := []byte{6, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(int32(sign*n)))
	return append(b, make([]byte, n)...)
}

var (
	keyDown     = []byte{4, 1, 0, 0, 0, 0, 0, 'a'}
	keyUp       = []byte{4, 0, 0, 0, 0, 0, 0, 'a'}
	buttonDown  = []byte{5, 1, 0, 10, 0, 20}
	buttonUp    = []byte{5, 0, 0, 10, 0, 20}
	qemuDown    = []byte{255, 0, 0, 1, 0, 0, 0, 'b', 0, 0, 0, 48}
	qemuUp      = []byte{255, 0, 0, 0, 0, 0, 0, 'b', 0, 0, 0, 48}
	update      = []byte{3, 1, 0, 0, 0, 0, 1, 0, 1, 0}
	pixelFormat = append([]byte{0, 0, 0, 0}, make([]byte, 16)...)
	encodings   = []byte{2, 0, 0, 2, 0, 0, 0, 7, 255, 255, 255, 33}
	continuous  = []byte{150, 1, 0, 0, 0, 0, 1, 0, 1, 0}
	fence       = []byte{248, 0, 0, 0, 0, 0, 0, 1, 3, 'x', 'y', 'z'}
	desktopSize = append([]byte{251, 0, 1, 0, 1, 0, 1, 0}, make([]byte, 16)...)
	powerOff    = []byte{250, 0, 1, 2}
)

func TestMessagesAreToldApart(t *testing.T) {
	all := []message{
		{key, keyDown}, {pointer, buttonDown}, {key, qemuDown}, {setting, update}, {setting, pixelFormat}, {setting, encodings},
		{setting, continuous}, {setting, fence}, {barred, desktopSize}, {barred, powerOff}, {cut, cutText(5, 1)}, {cut, cutText(9, -1)},
	}
	var stream []byte
	for _, m := range all {
		stream = append(stream, m.bytes...)
	}
	in := bufio.NewReader(bytes.NewReader(stream))
	for i, want := range all {
		got, err := readMessage(in, nil)
		if err != nil || got.kind != want.kind || !bytes.Equal(got.bytes, want.bytes) {
			t.Fatalf("message %d: kind %d, % x, %v; want kind %d, % x", i, got.kind, got.bytes, err, want.kind, want.bytes)
		}
	}
	if _, err := readMessage(in, nil); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
}

func TestWhatIsNoMessageEndsTheConnection(t *testing.T) {
	for name, b := range map[string][]byte{
		"unknown":          {99},
		"QEMU audio":       {255, 1, 0, 0},
		"a text too long":  {6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
		"one the other":    {6, 0, 0, 0, 0x80, 0, 0, 0},
		"a web request":    []byte("GET / HTTP/1.1\r\n"),
		"half of a click":  buttonDown[:3],
		"half of a screen": desktopSize[:20],
	} {
		if m, err := readMessage(bufio.NewReader(bytes.NewReader(b)), nil); err == nil || err == io.EOF {
			t.Errorf("%s: %+v, %v, want an error", name, m, err)
		}
	}
}

func TestWhatIsHeldIsReleased(t *testing.T) {
	var h held
	for _, m := range []message{{key, keyDown}, {key, qemuDown}, {pointer, buttonDown}, {key, []byte{4, 1, 0, 0, 0, 0, 0, 'c'}}, {key, []byte{4, 0, 0, 0, 0, 0, 0, 'c'}}} {
		h.note(m)
	}
	if got, want := h.release(), slices.Concat(keyUp, qemuUp, buttonUp); !bytes.Equal(got, want) {
		t.Errorf("released\n% x, want\n% x", got, want)
	}
	if again := h.release(); len(again) != 0 {
		t.Errorf("released twice: % x", again)
	}
	for i := range 10 * maxHeld {
		h.note(message{key, []byte{4, 1, 0, 0, 0, 0, byte(i >> 8), byte(i)}})
	}
	if n := len(h.release()); n != 8*maxHeld {
		t.Errorf("%d bytes release what a hostile viewer holds, want %d", n, 8*maxHeld)
	}
}

func TestTheHandshakesFitTogether(t *testing.T) {
	for _, version := range []string{rfbVersion, "RFB 003.007\n"} {
		server, client := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- greet(server, bufio.NewReader(server)) }()
		if version == rfbVersion {
			if err := enter(client); err != nil {
				t.Errorf("entering: %v", err)
			}
		} else {
			buf := make([]byte, 12)
			io.ReadFull(client, buf)
			io.WriteString(client, version)
			io.ReadFull(client, buf[:2])
			client.Write([]byte{1})
			client.Write([]byte{0})
		}
		if err := <-done; err != nil {
			t.Errorf("greeting %q: %v", version, err)
		}
	}
	for _, said := range []string{"GET / HTTP/1", "RFB 003.003\n", rfbVersion + "\x02"} {
		in := bufio.NewReader(strings.NewReader(said))
		if err := greet(struct {
			io.Reader
			io.Writer
		}{in, io.Discard}, in); !errors.Is(err, errRFB) {
			t.Errorf("%q: %v, want that it is no RFB", said, err)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	for _, b := range [][]byte{keyDown, buttonDown, qemuDown, update, pixelFormat, encodings, fence, desktopSize, cutText(3, -1), {6, 0}, {99}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in, left := bufio.NewReader(bytes.NewReader(b)), len(b)
		var h held
		for {
			m, err := readMessage(in, nil)
			if err != nil {
				break
			}
			if left -= len(m.bytes); left < 0 {
				t.Fatalf("more was read than there is")
			}
			if m.kind == key || m.kind == pointer {
				h.note(m)
			}
		}
		h.release()
	})
}
