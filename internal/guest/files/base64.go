package files

import (
	"encoding/base64"
	"io"
	"strings"
	"sync"
)

// Bytes travel through files and lines a large piece at a time, because where a
// session has a kernel of its own each system call takes as long as to copy
// many kilobytes.
const (
	rawPiece  = 192 << 10
	textPiece = rawPiece / 3 * 4
)

// A scratch is room for one piece as bytes and as base64.
type scratch struct {
	raw  [rawPiece]byte
	text [textPiece]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// sendBase64 writes what is read from r in base64.
func sendBase64(w io.Writer, r io.Reader) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for {
		n, err := io.ReadFull(r, s.raw[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		text := s.text[:base64.StdEncoding.EncodedLen(n)]
		base64.StdEncoding.Encode(text, s.raw[:n])
		if _, failed := w.Write(text); failed != nil || err != nil {
			return failed
		}
	}
}

// A base64Text is text that stands for bytes; line ends in it stand for nothing.
type base64Text string

// decoded is text to be read as the bytes it stands for.
func decoded(text string) base64Text {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 {
		text = strings.NewReplacer("\r", "", "\n", "").Replace(text)
	}
	return base64Text(text)
}

// WriteTo writes the bytes to w. If not all of the text is base64, some may be
// written before the error.
func (t base64Text) WriteTo(w io.Writer) (total int64, err error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for at := 0; at < len(t); at += textPiece {
		text := s.text[:copy(s.text[:], t[at:])]
		n, err := base64.StdEncoding.Decode(s.raw[:], text)
		if err == nil && n < rawPiece && at+len(text) < len(t) {
			err = base64.CorruptInputError(len(text)) // there is more after the padding
		}
		if wrong, ok := err.(base64.CorruptInputError); ok {
			return total, wrong + base64.CorruptInputError(at)
		}
		n, err = w.Write(s.raw[:n])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
