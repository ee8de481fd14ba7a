package s3test

import (
	"io"
	"math"
	"net"
	"sync/atomic"
	"testing"
)

// A Line is a way to a server that can break.
type Line struct {
	Endpoint string // what stands for the server's

	listener net.Listener
	to       string
	up, down atomic.Int64 // the most bytes that a connection carries each way
}

// NewLine lays a line to a server, which is whole, and takes it away when the
// test ends.
func NewLine(t testing.TB, s *Server) *Line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	line := &Line{Endpoint: "http://" + l.Addr().String(), listener: l, to: s.addr}
	line.Mend()
	go line.serve()
	return line
}

// Mend makes the line whole for connections that are made from now on.
func (l *Line) Mend() {
	l.up.Store(math.MaxInt64)
	l.down.Store(math.MaxInt64)
}

// Cut makes the line break on each new connection, when that has carried so many
// bytes to the server or from it.
func (l *Line) Cut(up, down int64) {
	l.up.Store(up)
	l.down.Store(down)
}

func (l *Line) serve() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.carry(client)
	}
}

// carry carries bytes both ways until one end has had enough.
func (l *Line) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn, most int64) {
		io.CopyN(to, from, most)
		done <- struct{}{}
	}
	go pass(server, client, l.up.Load())
	go pass(client, server, l.down.Load())
	<-done
}
