package s3test

import (
	"io"
	"math"
	"net"
	"sync"
	"testing"
)

// A Line is a way to a server that can break.
type Line struct {
	Endpoint string // what stands for the server's

	to string

	mu     sync.Mutex
	limits limits // of connections that are made from now on; guarded by mu
	once   bool   // for the next alone; guarded by mu
	made   int    // connections; guarded by mu
}

// limits are the most bytes that a connection carries each way.
type limits struct{ up, down int64 }

var whole = limits{math.MaxInt64, math.MaxInt64}

// NewLine lays a line to a server, which is whole, and takes it away when the
// test ends.
func NewLine(t testing.TB, s *Server) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	line := &Line{Endpoint: "http://" + l.Addr().String(), to: s.addr, limits: whole}
	go line.serve(l)
	return line
}

// Cut makes the line break on each new connection, when that has carried so many
// bytes to the server or from it.
func (l *Line) Cut(up, down int64) { l.set(limits{up, down}, false) }

// CutOnce makes the line break on the next connection alone.
func (l *Line) CutOnce(up, down int64) { l.set(limits{up, down}, true) }

// Mend makes the line whole for connections that are made from now on.
func (l *Line) Mend() { l.set(whole, false) }

func (l *Line) set(to limits, once bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits, l.once = to, once
}

// Made returns how many connections were made.
func (l *Line) Made() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

// next returns the limits of the next connection.
func (l *Line) next() limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	now := l.limits
	if l.once {
		l.limits, l.once = whole, false
	}
	return now
}

func (l *Line) serve(from net.Listener) {
	for {
		client, err := from.Accept()
		if err != nil {
			return
		}
		go l.carry(client, l.next())
	}
}

// carry carries bytes both ways until one end has had enough.
func (l *Line) carry(client net.Conn, most limits) {
	defer client.Close()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn, n int64) {
		io.CopyN(to, from, n)
		done <- struct{}{}
	}
	go pass(server, client, most.up)
	go pass(client, server, most.down)
	<-done
}
