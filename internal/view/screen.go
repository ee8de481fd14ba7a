package view

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
)

// How long a viewer may take for the handshake, may not answer a ping, and how
// often it is pinged.
const (
	greetWithin = 15 * time.Second
	pongWithin  = 15 * time.Second
	pingEvery   = 20 * time.Second
)

// touchEvery is how often human activity is reported at most.
const touchEvery = time.Second

// accept makes a WebSocket of a request.
func accept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	return websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the token is no cookie: no page can send it for its visitor
		CompressionMode:    websocket.CompressionDisabled,
		Subprotocols:       []string{"binary"},
	})
}

// serveScreen joins a viewer to the screen until either is gone.
func (d *Door) serveScreen(w http.ResponseWriter, r *http.Request, s *Screen) error {
	id, err := viewerID(r)
	if err != nil {
		err = agentbay.Wrap(err, agentbay.Invalid, "%v", err)
		refuse(w, err)
		return err
	}
	if s.Dial == nil {
		err := agentbay.Errorf(agentbay.Conflict, "sessions of this image have no screen")
		refuse(w, err)
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	inside, err := s.Dial(ctx)
	if err != nil {
		err = agentbay.Wrap(err, agentbay.Unavailable, "the screen does not answer; try again in a moment")
		refuse(w, err)
		return err
	}
	defer inside.Close()
	ws, err := accept(w, r)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(2 * maxCut)
	outside := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	go keepAlive(ctx, ws, cancel)
	v := &viewer{id: id, screen: s, inside: inside}
	return v.join(ctx, cancel, outside)
}

// keepAlive ends ctx when the other side is gone without having said so.
func keepAlive(ctx context.Context, ws *websocket.Conn, cancel context.CancelFunc) {
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pingEvery):
		}
		ping, stop := context.WithTimeout(ctx, pongWithin)
		err := ws.Ping(ping)
		stop()
		if err != nil {
			return
		}
	}
}

// A viewer is one connection of a person to a screen.
type viewer struct {
	id      string
	screen  *Screen
	inside  io.ReadWriteCloser
	held    held
	touched time.Time
}

// join copies both ways; what comes from outside is looked at.
func (v *viewer) join(ctx context.Context, cancel context.CancelFunc, outside net.Conn) error {
	in := bufio.NewReaderSize(outside, 32<<10)
	outside.SetDeadline(time.Now().Add(greetWithin))
	if err := greet(outside, in); err != nil {
		return err
	}
	outside.SetDeadline(time.Time{})
	if err := enter(v.inside); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { v.inside.Close(); outside.Close() })()
	pictures := make(chan struct{})
	go func() {
		defer close(pictures)
		defer cancel()
		io.Copy(outside, v.inside)
	}()
	err := v.pass(in)
	v.inside.Write(v.held.release()) // nobody else would
	cancel()
	<-pictures
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// pass passes on what a viewer sends, and may.
func (v *viewer) pass(in *bufio.Reader) error {
	buf := make([]byte, 0, 4<<10)
	for {
		m, err := readMessage(in, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !v.passes(m) {
			if released := v.held.release(); len(released) > 0 {
				v.inside.Write(released)
			}
			continue
		}
		if _, err := v.inside.Write(m.bytes); err != nil {
			return err
		}
	}
}

// passes reports whether a message is for the screen.
func (v *viewer) passes(m message) bool {
	switch m.kind {
	case setting:
		return true
	case barred:
		return false
	}
	if !v.screen.MayAct || !v.screen.Desk.May(v.id) {
		return false
	}
	v.held.note(m)
	if now := time.Now(); now.Sub(v.touched) >= touchEvery {
		v.touched = now
		v.screen.Touch()
	}
	return true
}
