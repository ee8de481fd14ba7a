package oci

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

// A console reads what a guest and the OCI runtime write to their standard
// output and error. It notices the guest's "ready" line, and keeps the last of
// the rest for when the machine dies.
type console struct {
	ready chan struct{} // closed at the line "ready"
	ended chan struct{} // closed when nobody can write any more

	mu   sync.Mutex
	tail []byte // guarded by mu
}

const (
	tailSize  = 4 << 10
	readySize = 64 << 10              // what may come before "ready"
	drainRest = 20 * time.Millisecond // between reads of a machine that floods
)

// readConsole reads until the end of r, and closes it.
func readConsole(r io.ReadCloser) *console {
	c := &console{ready: make(chan struct{}), ended: make(chan struct{})}
	go c.read(r)
	return c
}

func (c *console) read(r io.ReadCloser) {
	defer close(c.ended)
	defer r.Close()
	buf := make([]byte, 4*tailSize)
	if c.awaitReady(r, buf) {
		close(c.ready)
		c.drain(r, buf)
	}
}

// awaitReady reports whether the line "ready" came. A machine that says too
// much before it is cut off.
func (c *console) awaitReady(r io.Reader, buf []byte) bool {
	var line []byte
	for total := 0; total < readySize; {
		n, err := r.Read(buf)
		c.keep(buf[:n])
		total += n
		line = append(line, buf[:n]...)
		for {
			before, after, found := bytes.Cut(line, []byte("\n"))
			if !found {
				break
			}
			if string(before) == "ready" {
				return true
			}
			line = after
		}
		if err != nil {
			return false
		}
	}
	return false
}

// drain reads on, so that the guest never blocks, but not faster than a
// megabyte a second, so that a flood costs the host nothing.
func (c *console) drain(r io.Reader, buf []byte) {
	for {
		n, err := r.Read(buf)
		c.keep(buf[:n])
		if err != nil {
			return
		}
		time.Sleep(drainRest)
	}
}

func (c *console) keep(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail = append(c.tail, b...)
	if extra := len(c.tail) - tailSize; extra > 0 {
		c.tail = append(c.tail[:0], c.tail[extra:]...)
	}
}

// String returns the last of what was written.
func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(c.tail), "\uFFFD"))
}
