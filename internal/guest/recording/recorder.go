package recording

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
)

// A Recorder is the guest's end: it records the screen for whoever connects.
type Recorder struct {
	// Encoder is the command line of a program that records the screen at some
	// frames a second, and writes an MP4 in fragments to its standard output until
	// it is interrupted.
	Encoder func(frameRate int) (argv, env []string)
}

// maxRecordings is how many recordings go on at once.
const maxRecordings = 2

// Serve records for who connects to l, until ctx is done.
func (r *Recorder) Serve(ctx context.Context, l net.Listener) error {
	slots := make(chan struct{}, maxRecordings)
	return Serve(ctx, l, func(ctx context.Context, conn net.Conn) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			r.record(ctx, conn)
		default:
			End(conn, Outcome{Failed, "the screen is being recorded already"})
		}
	})
}

// record records for one connection.
func (r *Recorder) record(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q, enough, err := ReadRequest(conn)
	if err == nil && q.FrameRate == 0 {
		err = errors.New("a video needs a number of frames a second")
	}
	if err != nil {
		End(conn, Outcome{Failed, err.Error()})
		return
	}
	out := bufio.NewWriterSize(conn, 64<<10)
	o, err := r.shoot(ctx, q, out, enough)
	if err != nil {
		o = Outcome{Failed, err.Error()}
	}
	End(out, o)
	out.Flush()
}

// shoot sends a whole video, index and all.
func (r *Recorder) shoot(ctx context.Context, q Request, out *bufio.Writer, enough <-chan struct{}) (Outcome, error) {
	e, err := r.start(ctx, q.FrameRate)
	if err != nil {
		return Outcome{}, err
	}
	f := &film{out: out, max: q.MaxBytes}
	shot := make(chan error, 1)
	go func() { shot <- f.shoot(e.video) }()
	o := Outcome{Reason: Stopped}
	select {
	case err = <-shot: // nobody asked it to end
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		e.kill()
	case <-enough:
		defer e.interrupt().Stop()
		err = <-shot
	}
	status := e.wait()
	if errors.Is(err, errFull) {
		o.Reason, err = Full, nil
	}
	if err != nil {
		err = fmt.Errorf("the screen's encoder ended (%v): %w%s", status, err, e.said())
	}
	return o, errors.Join(err, f.finish())
}

// An encoder is a running program that makes a video of the screen.
type encoder struct {
	cmd    *exec.Cmd
	video  io.Reader
	errors bytes.Buffer // what it says is read when it has ended
}

func (r *Recorder) start(ctx context.Context, frameRate int) (*encoder, error) {
	argv, env := r.Encoder(frameRate)
	e := &encoder{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	e.cmd.Env, e.cmd.Stderr = env, &limited{w: &e.errors, left: 4 << 10}
	e.cmd.WaitDelay = time.Second
	video, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.video = video
	if err := guest.Start(e.cmd); err != nil {
		return nil, fmt.Errorf("the screen's encoder cannot be started: %w", err)
	}
	return e, nil
}

// endWithin is how long an encoder may take to end its video.
const endWithin = 3 * time.Second

// interrupt has it end its video; the timer ends itself if it does not.
func (e *encoder) interrupt() *time.Timer {
	e.cmd.Process.Signal(syscall.SIGINT)
	return time.AfterFunc(endWithin, e.kill)
}

func (e *encoder) kill()       { e.cmd.Process.Kill() }
func (e *encoder) wait() error { return guest.Wait(e.cmd) }

// said is what it printed, once it has ended.
func (e *encoder) said() string {
	if text := strings.TrimSpace(e.errors.String()); text != "" {
		return ": " + strings.ToValidUTF8(text, "�")
	}
	return ""
}

// A limited passes on the first bytes that are written, and drops the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	if _, err := l.w.Write(b[:n]); err != nil {
		return 0, err
	}
	return len(b), nil
}
