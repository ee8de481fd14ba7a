// Package listener is the one port of a bay: it speaks TLS and plain HTTP,
// whichever the client begins with, to more than well-behaved clients. What is
// answered on it is decided elsewhere.
package listener

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds for clients that are slow, or many.
const (
	firstByte   = 10 * time.Second // from connecting to saying something
	maxHeader   = 1 << 20          // bytes of a request's head
	headerTime  = 15 * time.Second // for a request's head
	idleTime    = 6 * time.Minute  // between requests; clients give up sooner, so none sends into a closed connection
	maxAccepted = 8192             // connections open at once
)

// Server returns an HTTP server for what Listen returns. It sets no time for
// bodies and answers: calls may last, and who answers watches their progress.
// Only HTTP/1.1 is spoken, which every client has and WebSockets need.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
}

// Listen opens a TCP port on which clients may speak TLS or plain HTTP. A nil
// config means plain HTTP only.
//
// No session tickets are given out. They arrive after the handshake, when some
// WebSocket clients already write in one thread and read in another. With Python
// 3.11 one in 200 such connections broke before its first request was here;
// without tickets none of 2,695 did. Clients keep connections, so little is lost.
func Listen(addr string, config *tls.Config) (net.Listener, error) {
	inner, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		config = config.Clone()
		config.SessionTicketsDisabled = true
	}
	return newListener(inner, config, maxAccepted), nil
}

// A listener accepts connections and looks at how each begins, without waiting
// for one before the next.
type listener struct {
	net.Listener
	config *tls.Config
	ready  chan net.Conn
	done   chan struct{} // closed by Close
	failed chan struct{} // closed when no more connections come; then err is set
	err    error
	once   sync.Once
	open   atomic.Int64 // connections
	max    int64
}

func newListener(inner net.Listener, config *tls.Config, max int64) *listener {
	l := &listener{
		Listener: inner,
		config:   config,
		ready:    make(chan net.Conn),
		done:     make(chan struct{}),
		failed:   make(chan struct{}),
		max:      max,
	}
	go l.acceptAll()
	return l
}

// Accept returns the next connection that has said something. One that speaks
// TLS is a *tls.Conn.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.failed:
		return nil, l.err
	}
}

// Close stops listening. Connections that were accepted stay.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

func (l *listener) acceptAll() {
	defer close(l.failed)
	var pause time.Duration
	for {
		c, err := l.Listener.Accept()
		var temporary net.Error
		if errors.As(err, &temporary) && !errors.Is(err, net.ErrClosed) {
			pause = min(max(2*pause, 5*time.Millisecond), time.Second) // out of descriptors: wait for some
			time.Sleep(pause)
			continue
		}
		if err != nil {
			l.err = err
			return
		}
		pause = 0
		if l.open.Add(1) > l.max {
			l.open.Add(-1)
			c.Close()
			continue
		}
		go l.sort(&counted{Conn: c, open: &l.open})
	}
}

// tlsHandshake is the first byte of every TLS connection.
const tlsHandshake = 0x16

// sort looks at the first byte of a connection and passes it on.
func (l *listener) sort(c net.Conn) {
	first := make([]byte, 1)
	_ = c.SetReadDeadline(time.Now().Add(firstByte)) // fails only if Read will
	if _, err := c.Read(first); err != nil {
		c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	c = &begun{Conn: c, first: first}
	if first[0] == tlsHandshake && l.config != nil {
		c = tls.Server(c, l.config)
	} else {
		c = &repaired{Conn: c}
	}
	select {
	case l.ready <- c:
	case <-l.done:
		c.Close()
	}
}

// A counted connection counts itself out when it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// A begun connection is one of which the first bytes were read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
