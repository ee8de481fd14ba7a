package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// A budget is how much output is held for all commands together.
type budget struct{ used atomic.Int64 }

// take asks for n more bytes.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= maxBuffered {
		return true
	}
	b.used.Add(int64(-n))
	return false
}

// give gives n bytes back.
func (b *budget) give(n int) { b.used.Add(int64(-n)) }

// A capture reads one output of a command to its end, and keeps the beginning.
type capture struct {
	held        *budget
	read, write *os.File
	done        chan struct{} // closed when what follows changes no more
	kept        bytes.Buffer
	total       int64 // bytes read, kept or not
	full        bool  // no more is kept
}

func (s *Shell) capture() (*capture, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &capture{held: &s.held, read: r, write: w, done: make(chan struct{})}, nil
}

func (s *Shell) captures() (stdout, stderr *capture, err error) {
	if stdout, err = s.capture(); err != nil {
		return nil, nil, err
	}
	if stderr, err = s.capture(); err != nil {
		stdout.begin() // it ends at once
		return nil, nil, err
	}
	return stdout, stderr, nil
}

// begin starts reading, once the command has its end of the pipe or will never
// have it.
func (c *capture) begin() {
	c.write.Close()
	go c.pump()
}

// end is what the command wrote. The command itself has ended; what it left
// running may still write, and for a moment that is waited for.
func (c *capture) end() []byte {
	c.read.SetReadDeadline(time.Now().Add(grace))
	<-c.done
	if n := c.kept.Len(); c.total > int64(n) {
		return fmt.Appendf(c.kept.Bytes(), "\n[output truncated: the first %d of %d bytes]\n", n, c.total)
	}
	return c.kept.Bytes()
}

// release gives back what was kept.
func (c *capture) release() {
	<-c.done
	c.held.give(c.kept.Len())
}

// pump reads the pipe to its end. If the command ends first, its background
// processes still have the pipe: reading on keeps them from being killed by it.
func (c *capture) pump() {
	defer c.read.Close()
	_, err := io.Copy(c, readOnly{c.read})
	late := errors.Is(err, os.ErrDeadlineExceeded)
	if late {
		c.read.SetReadDeadline(time.Time{})
		io.CopyN(c, readOnly{c.read}, waiting(c.read))
	}
	close(c.done)
	if late {
		io.Copy(io.Discard, readOnly{c.read})
	}
}

// readOnly hides what else a file can do, which would not read into a capture.
type readOnly struct{ io.Reader }

// Write keeps what there is room for.
func (c *capture) Write(p []byte) (int, error) {
	c.total += int64(len(p))
	fits := p[:min(len(p), MaxOutput-c.kept.Len())]
	if c.full || !c.held.take(len(fits)) {
		c.full = true
		return len(p), nil
	}
	c.kept.Write(fits)
	return len(p), nil
}
