// Package recording is both ends of the line on which a session's screen is
// recorded: the guest's, which runs the encoder, and the host's, which keeps the
// video. What its browser shows is recorded on a line of the same kind (package
// replay).
//
// The host connects to [guest.RecordPort], sends a [Request] as one line of JSON,
// and an empty line when it wants no more. The guest sends pieces, each with the place in the file where it belongs, and at last an
// [Outcome]. The host writes them down and does not look into them, so nothing of
// the host parses what a session sent.
//
// What has been written at any time is a video that plays: an MP4 in fragments of
// about a second. When the recording ends, an index is added and the fragments
// are declared the body of an ordinary MP4, in which every player can seek.
package recording

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A Request says what to record.
type Request struct {
	FrameRate int   `json:"frame_rate,omitempty"` // frames a second, of a video
	MaxBytes  int64 `json:"max_bytes"`            // how long the file may become
	From      int64 `json:"from,omitempty"`       // what the host has already, of a replay
}

// A Reason is why a recording has ended.
type Reason string

// The reasons that a guest gives.
const (
	Stopped Reason = "stopped" // the host wanted no more
	Full    Reason = "full"    // the next second would have gone over MaxBytes
	Failed  Reason = "failed"  // see Outcome.Error
)

// An Outcome is how a recording ended.
type Outcome struct {
	Reason Reason `json:"reason"`
	Error  string `json:"error,omitempty"`
}

// Bounds of what is sent.
const (
	maxRequest = 4 << 10
	maxPiece   = 1 << 20
	maxOutcome = 4 << 10
)

// A piece is sent as the place where it belongs and its length, both big-endian,
// and its bytes. Nothing belongs at the place atEnd: that is the outcome.
const (
	pieceHead = 8 + 4
	atEnd     = -1
)

// Send sends bytes that belong at a place.
func Send(w io.Writer, at int64, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), maxPiece)
		if err := sendPiece(w, at, b[:n]); err != nil {
			return err
		}
		at, b = at+int64(n), b[n:]
	}
	return nil
}

func sendPiece(w io.Writer, at int64, b []byte) error {
	head := binary.BigEndian.AppendUint64(make([]byte, 0, pieceHead), uint64(at))
	if _, err := w.Write(binary.BigEndian.AppendUint32(head, uint32(len(b)))); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// End sends the last piece.
func End(w io.Writer, o Outcome) error {
	if len(o.Error) > maxOutcome/8 { // in JSON it becomes longer
		o.Error = o.Error[:maxOutcome/8]
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return sendPiece(w, atEnd, b)
}

// errNonsense is the error of a guest that does not keep to the line's rules.
var errNonsense = errors.New("the guest sent what is no recording")

// Receive writes a recording that a guest sends to file, in which nothing is
// written beyond max, until it has ended. Each piece that was written is reported,
// and an error of written ends the recording with that error.
//
// An error means that it broke off; what was written until then plays.
func Receive(r io.Reader, file io.WriterAt, max int64, written func(n int) error) (Outcome, error) {
	buf := make([]byte, 0, 64<<10)
	for total := int64(0); ; {
		at, n, err := readHead(r)
		if err != nil {
			return Outcome{}, err
		}
		if at == atEnd {
			return readOutcome(r, n)
		}
		// An index is written twice at most: room for it, and then itself.
		if total += int64(n); at < 0 || n == 0 || n > maxPiece || at > max-int64(n) || total > 2*max {
			return Outcome{}, errNonsense
		}
		buf = append(buf[:0], make([]byte, n)...)
		if _, err := io.ReadFull(r, buf); err != nil {
			return Outcome{}, err
		}
		if _, err := file.WriteAt(buf, at); err != nil {
			return Outcome{}, fmt.Errorf("keep a recording: %w", err)
		}
		if err := written(n); err != nil {
			return Outcome{}, err
		}
	}
}

func readHead(r io.Reader) (at int64, n int, err error) {
	var head [pieceHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	return int64(binary.BigEndian.Uint64(head[:])), int(binary.BigEndian.Uint32(head[8:])), nil
}

func readOutcome(r io.Reader, n int) (o Outcome, err error) {
	if n > maxOutcome {
		return o, errNonsense
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return o, err
	}
	if json.Unmarshal(b, &o) != nil || o.Reason == "" {
		return o, errNonsense
	}
	return o, nil
}

// Serve serves each who connects to l, until ctx is done and all have been served.
// Their connections end with ctx.
func Serve(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		all.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			serve(ctx, conn)
		})
	}
}

// ReadRequest reads what a host asks for. enough is closed when it wants no more,
// or is not there any more.
func ReadRequest(conn net.Conn) (q Request, enough <-chan struct{}, err error) {
	conn.SetReadDeadline(time.Now().Add(askWithin))
	in := bufio.NewReader(io.LimitReader(conn, maxRequest))
	line, err := in.ReadBytes('\n')
	if err != nil {
		return q, nil, err
	}
	if json.Unmarshal(line, &q) != nil || q.FrameRate < 0 || q.MaxBytes <= 0 || q.From < 0 {
		return q, nil, errors.New("that is no request for a recording")
	}
	conn.SetReadDeadline(time.Time{})
	said := make(chan struct{})
	go func() {
		in.ReadByte()
		close(said)
	}()
	return q, said, nil
}

// askWithin is how long the request for a recording may take.
const askWithin = 10 * time.Second

// Ask sends the request for a recording.
func Ask(w io.Writer, q Request) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Enough asks for the end of the recording, which then completes.
func Enough(w io.Writer) error {
	_, err := w.Write([]byte{'\n'})
	return err
}
