// Package devtools drives a browser by the Chrome DevTools Protocol
// (https://chromedevtools.github.io/devtools-protocol). One connection
// reaches the browser and, by sessions that are told apart in each message, all
// of its targets: pages, frames and workers.
package devtools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// maxMessage bounds a message of the browser, in bytes. The longest are pictures.
const maxMessage = 128 << 20

// What calls fail with that have no answer any more.
var (
	ErrGone   = errors.New("the browser has ended, or broke off its connection")
	ErrClosed = errors.New("the page was closed")
)

// An Error is a browser's refusal of a call.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// A Conn is a connection to a browser.
type Conn struct {
	ws   *websocket.Conn
	gone chan struct{} // closed when the connection has ended

	mu       sync.Mutex
	last     int64                       // number of the last call; guarded by mu
	waiting  map[int64]chan<- message    // guarded by mu
	handlers map[topic]map[*handler]bool // guarded by mu
	targets  map[string]chan struct{}    // by session, closed and taken out when it has ended; guarded by mu
}

// A message is what goes in either direction.
type message struct {
	ID      int64           `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// A topic is the events of one kind in one session.
type topic struct{ session, method string }

type handler struct{ heed func(json.RawMessage) }

// Dial connects to a browser at the address of its WebSocket. ctx is for the
// dialling alone.
func Dial(ctx context.Context, address string) (*Conn, error) {
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil, fmt.Errorf("the browser does not answer: %w", err)
	}
	ws.SetReadLimit(maxMessage)
	c := &Conn{ws: ws, gone: make(chan struct{}), waiting: map[int64]chan<- message{}, handlers: map[topic]map[*handler]bool{}, targets: map[string]chan struct{}{}}
	go c.listen()
	return c, nil
}

// Close ends the connection, and with it what was asked of the browser for as
// long as it lasts.
func (c *Conn) Close() {
	c.ws.CloseNow()
	<-c.gone
}

// listen takes messages until the connection ends.
func (c *Conn) listen() {
	defer c.end()
	for {
		var m message
		if err := wsjson.Read(context.Background(), c.ws, &m); err != nil {
			c.ws.CloseNow()
			return
		}
		c.take(m)
	}
}

// end tells everybody that the connection has ended.
func (c *Conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gone)
	for _, target := range c.targets {
		close(target)
	}
	clear(c.targets)
}

// take hands a message to who waits for it.
func (c *Conn) take(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.ID != 0 {
		if answer := c.waiting[m.ID]; answer != nil {
			answer <- m // which has room for it
			delete(c.waiting, m.ID)
		}
		return
	}
	c.followLocked(m)
	for h := range c.handlers[topic{m.Session, m.Method}] {
		h.heed(m.Params)
	}
}

// followLocked follows which targets there are. It is told of each before anybody
// else is.
func (c *Conn) followLocked(m message) {
	if m.Method != attached && m.Method != detached {
		return
	}
	var e struct{ SessionID string }
	if json.Unmarshal(m.Params, &e) != nil {
		return
	}
	switch target := c.targets[e.SessionID]; {
	case m.Method == attached && target == nil:
		c.targets[e.SessionID] = make(chan struct{})
	case m.Method == detached && target != nil:
		close(target)
		delete(c.targets, e.SessionID)
	}
}

// Events that tell of targets.
const (
	attached = "Target.attachedToTarget"
	detached = "Target.detachedFromTarget"
)

// A Session is one target as the connection has it; that of the empty name is the
// browser itself.
type Session struct {
	conn *Conn
	ID   string
}

// Browser is the session of the browser itself.
func (c *Conn) Browser() Session { return Session{conn: c} }

// Call calls a method and reads its result, unless that is nil. A refusal is an
// [*Error].
func (s Session) Call(ctx context.Context, method string, params, result any) error {
	c := s.conn
	answer := make(chan message, 1)
	id, err := s.ask(ctx, method, params, answer)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, id)
	}()
	if err != nil {
		return err
	}
	select {
	case m := <-answer:
		return m.read(result)
	case <-s.Gone():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case m := <-answer: // its last
		return m.read(result)
	case <-c.gone:
		return ErrGone
	default:
		return ErrClosed
	}
}

// read reads the answer to a call.
func (m message) read(result any) error {
	if m.Error != nil {
		return m.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

// Tell calls a method whose result nobody waits for. Calls are sent in order.
func (s Session) Tell(ctx context.Context, method string, params any) error {
	_, err := s.ask(ctx, method, params, nil)
	return err
}

// ask sends a call; its answer goes to a channel with room for it, if there is one.
func (s Session) ask(ctx context.Context, method string, params any, answer chan<- message) (id int64, err error) {
	m := message{Session: s.ID, Method: method}
	if params != nil {
		if m.Params, err = json.Marshal(params); err != nil {
			return 0, err
		}
	}
	c := s.conn
	c.mu.Lock()
	c.last++
	m.ID = c.last
	if answer != nil {
		c.waiting[m.ID] = answer
	}
	c.mu.Unlock()
	if c.send(ctx, m) != nil {
		err = ErrGone
	}
	return m.ID, err
}

// sendWithin is how long a message may take to be sent. A message that is broken
// off ends the connection for everybody, so who loses patience does not.
const sendWithin = 10 * time.Second

func (c *Conn) send(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	return wsjson.Write(ctx, c.ws, m)
}

// On has heed called with the parameters of each event of a kind, in order, until
// stop is called. It must not block, and must not call the session.
func (s Session) On(method string, heed func(params json.RawMessage)) (stop func()) {
	h, at, c := &handler{heed}, topic{s.ID, method}, s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handlers[at] == nil {
		c.handlers[at] = map[*handler]bool{}
	}
	c.handlers[at][h] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if delete(c.handlers[at], h); len(c.handlers[at]) == 0 {
			delete(c.handlers, at)
		}
	}
}

// Forget stops all handlers of the session.
func (s Session) Forget() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.handlers, func(at topic, _ map[*handler]bool) bool { return at.session == s.ID })
}

// Gone is closed when the target, or the connection, has ended.
func (s Session) Gone() <-chan struct{} {
	c := s.conn
	if s.ID == "" {
		return c.gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if target := c.targets[s.ID]; target != nil {
		return target
	}
	return over
}

// over is of targets that have ended.
var over = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Session is another session of the same connection, by the name that the browser
// gave it.
func (s Session) Session(id string) Session { return Session{s.conn, id} }
