package view

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What follows is of RFC 6143, and of the extensions that noVNC uses, as the
// rfbproto community describes them.

const rfbVersion = "RFB 003.008\n"

// maxCut bounds a text that is put on the clipboard, in bytes.
const maxCut = 1 << 20

// errRFB is the end of a connection on which something else is spoken.
var errRFB = errors.New("what came is not RFB")

// greet is the server's part of the handshake with a viewer, which needs no
// password: who got here had a token.
func greet(c io.ReadWriter, in *bufio.Reader) error {
	if _, err := io.WriteString(c, rfbVersion); err != nil {
		return err
	}
	var version [len(rfbVersion)]byte
	if _, err := io.ReadFull(in, version[:]); err != nil {
		return err
	}
	if v := string(version[:]); v != rfbVersion && v != "RFB 003.007\n" {
		return fmt.Errorf("%w: version %q", errRFB, v)
	}
	if _, err := c.Write([]byte{1, 1}); err != nil { // one kind of security: none
		return err
	}
	if kind, err := in.ReadByte(); err != nil || kind != 1 {
		return errors.Join(errRFB, err)
	}
	if string(version[:]) == rfbVersion {
		if _, err := c.Write(make([]byte, 4)); err != nil { // it is fine
			return err
		}
	}
	_, err := in.ReadByte() // whether to share; all do
	return err
}

// enter is the client's part of the handshake with a screen.
func enter(c io.ReadWriter) error {
	buf := make([]byte, 256)
	if _, err := io.ReadFull(c, buf[:len(rfbVersion)]); err != nil {
		return err
	}
	if _, err := io.WriteString(c, rfbVersion); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, buf[:1]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, buf[1:1+buf[0]]); err != nil || buf[0] == 0 {
		return errors.Join(errRFB, err)
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, buf[:4]); err != nil || binary.BigEndian.Uint32(buf) != 0 {
		return errors.Join(errRFB, err)
	}
	_, err := c.Write([]byte{1}) // shared
	return err
}

// A kind is what a message of a viewer is.
type kind int

const (
	setting kind = iota // about how pictures are sent
	key
	pointer
	cut    // text for the clipboard
	barred // a viewer must not
)

// A message is one of a viewer's, with all its bytes.
type message struct {
	kind  kind
	bytes []byte
}

// fixed is the messages of one length, with their type, by type.
var fixed = map[byte]struct {
	size int
	kind kind
}{
	0:   {20, setting}, // SetPixelFormat
	3:   {10, setting}, // FramebufferUpdateRequest
	4:   {8, key},      // KeyEvent
	5:   {6, pointer},  // PointerEvent
	150: {10, setting}, // EnableContinuousUpdates
	250: {4, barred},   // xvp: power off
}

// readMessage reads the next message of a viewer. It is valid until the next one.
func readMessage(in *bufio.Reader, buf []byte) (message, error) {
	code, err := in.ReadByte()
	if err != nil {
		return message{}, err
	}
	m := append(buf[:0], code)
	if f, ok := fixed[code]; ok {
		m, err = more(in, m, f.size-1)
		return message{f.kind, m}, err
	}
	switch code {
	case 2: // SetEncodings
		m, err = counted(in, m, 3, 2, 4)
		return message{setting, m}, err
	case 6: // ClientCutText; a negative length is the extended one
		if m, err = more(in, m, 7); err != nil {
			return message{}, err
		}
		n := int64(int32(binary.BigEndian.Uint32(m[4:])))
		if n = max(n, -n); n > maxCut {
			return message{}, fmt.Errorf("%w: a text of %d bytes", errRFB, n)
		}
		m, err = more(in, m, int(n))
		return message{cut, m}, err
	case 248: // ClientFence
		m, err = counted(in, m, 8, 1, 1)
		return message{setting, m}, err
	case 251: // SetDesktopSize: a viewer does not change the agent's screen
		m, err = counted(in, m, 7, 1, 16)
		return message{barred, m}, err
	case 255: // QEMU
		if m, err = more(in, m, 1); err != nil {
			return message{}, err
		}
		if m[1] != 0 {
			return message{}, fmt.Errorf("%w: QEMU message %d", errRFB, m[1])
		}
		m, err = more(in, m, 10)
		return message{key, m}, err
	}
	return message{}, fmt.Errorf("%w: message %d", errRFB, code)
}

// more reads n more bytes of a message.
func more(in *bufio.Reader, m []byte, n int) ([]byte, error) {
	start := len(m)
	m = append(m, make([]byte, n)...)
	_, err := io.ReadFull(in, m[start:])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

// counted reads a message whose head, of so many bytes after its type, ends in a
// count of width bytes of what follows, each of so many bytes. The head of
// SetDesktopSize has another byte after its count.
func counted(in *bufio.Reader, m []byte, head, width, each int) ([]byte, error) {
	m, err := more(in, m, head)
	if err != nil {
		return m, err
	}
	at := 1 + head - width
	if m[0] == 251 {
		at--
	}
	n := int(m[at])
	if width == 2 {
		n = int(binary.BigEndian.Uint16(m[at:]))
	}
	return more(in, m, n*each)
}

// A held is what a viewer keeps pressed.
type held struct {
	keys    map[[7]byte]bool // what follows the flag in a KeyEvent
	qemu    map[[8]byte]bool // likewise of QEMU's
	buttons byte
	at      [4]byte // where the pointer was last
}

// note remembers what a message presses or releases.
func (h *held) note(m message) {
	if h.keys == nil {
		h.keys, h.qemu = map[[7]byte]bool{}, map[[8]byte]bool{}
	}
	switch {
	case m.kind == pointer:
		h.buttons, h.at = m.bytes[1], [4]byte(m.bytes[2:6])
	case m.kind == key && m.bytes[0] == 4:
		press(h.keys, [7]byte(append([]byte{0}, m.bytes[2:8]...)), m.bytes[1] != 0)
	case m.kind == key:
		press(h.qemu, [8]byte(m.bytes[4:12]), m.bytes[2]|m.bytes[3] != 0)
	}
}

// maxHeld bounds how many keys a viewer may keep pressed.
const maxHeld = 256

func press[K comparable](keys map[K]bool, k K, down bool) {
	if !down {
		delete(keys, k)
	} else if len(keys) < maxHeld {
		keys[k] = true
	}
}

// release is the messages that release all that is pressed.
func (h *held) release() (b []byte) {
	for k := range h.keys {
		b = append(append(b, 4, 0), k[1:]...)
	}
	for k := range h.qemu {
		b = append(append(b, 255, 0, 0, 0), k[:]...)
	}
	if h.buttons != 0 {
		b = append(append(b, 5, 0), h.at[:]...)
	}
	*h = held{}
	return b
}
