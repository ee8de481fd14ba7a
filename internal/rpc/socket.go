package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// Bounds of a WebSocket.
const (
	maxFrameIn  = 16 << 20         // bytes of a frame a client sends, mostly code to run
	maxFrameOut = 1<<20 - 4096     // bytes of a frame we send; some clients hang up at 1 MiB
	maxStreams  = 64               // running for one connection
	maxSockets  = 32               // open for one session
	sendTimeout = 30 * time.Second // a client takes a frame in this long, or is cut off
	defaultLook = 5 * time.Second  // between looks whether the session is still there
)

// hub is the source of frames about the channel itself.
const hub = "WEBSOCKET_SERVER"

// client is what a client calls itself.
const client = "SDK"

// A frame is one message, either way.
type frame struct {
	ID     string          `json:"invocationId"`
	Source string          `json:"source"`
	Target string          `json:"target"`
	Data   json.RawMessage `json:"data"`
}

// A request is what a client asks for in a frame's data.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// sockets is every open WebSocket.
type sockets struct {
	mu     sync.Mutex
	closed bool                                        // guarded by mu
	open   map[agentbay.SessionID]map[*socket]struct{} // guarded by mu
}

// add counts a socket in, unless its session has too many.
func (s *sockets) add(k *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return agentbay.Errorf(agentbay.Unavailable, "the server is shutting down")
	}
	if len(s.open[k.id]) >= maxSockets {
		return agentbay.Errorf(agentbay.Exhausted, "session %s has %d WebSockets open; close one first", k.id, maxSockets)
	}
	if s.open == nil {
		s.open = map[agentbay.SessionID]map[*socket]struct{}{}
	}
	if s.open[k.id] == nil {
		s.open[k.id] = map[*socket]struct{}{}
	}
	s.open[k.id][k] = struct{}{}
	return nil
}

func (s *sockets) remove(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open[k.id], k)
	if len(s.open[k.id]) == 0 {
		delete(s.open, k.id)
	}
}

// closeAll ends every socket and lets no other in.
func (s *sockets) closeAll() {
	s.mu.Lock()
	s.closed = true
	var all []*socket
	for _, of := range s.open {
		for k := range of {
			all = append(all, k)
		}
	}
	s.mu.Unlock()
	for _, k := range all {
		k.cancel(agentbay.Errorf(agentbay.Unavailable, "the server is shutting down"))
	}
}

// A socket is one WebSocket of a session. Any number of invocations run on it at
// a time; they end with it.
type socket struct {
	id     agentbay.SessionID
	bay    agentbay.Service
	door   *Door
	conn   *websocket.Conn
	cancel context.CancelCauseFunc // ends the socket; the cause is told to the client

	running sync.WaitGroup
	mu      sync.Mutex
	open    map[string]*invocation // by invocation ID; guarded by mu
	watches map[string]*invocation // by path; guarded by mu
}

// serveSocket lets in who has the session's token, and serves them until they,
// the session or the server are gone.
func (d *Door) serveSocket(x *exchange) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	k, err := d.openSocket(x, cancel)
	if err != nil {
		x.failCall(err)
		return
	}
	defer d.sockets.remove(k)
	k.conn, err = websocket.Accept(x, x.r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the token is no cookie: no page can send it for its visitor
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		x.cause = err // Accept has answered
		return
	}
	defer k.conn.CloseNow()
	x.status = http.StatusSwitchingProtocols
	k.conn.SetReadLimit(maxFrameIn)
	k.serve(ctx)
}

// openSocket checks the token and makes room for a socket.
func (d *Door) openSocket(x *exchange, cancel context.CancelCauseFunc) (*socket, error) {
	ctx, id := x.r.Context(), agentbay.SessionID(x.session)
	token := x.r.Header.Get(tokenHeader)
	if token == "" {
		return nil, noToken()
	}
	bay, err := d.Bay.Token(ctx, id, token)
	if err != nil {
		return nil, err
	}
	if _, err := present(ctx, bay, id); err != nil {
		return nil, ended(err)
	}
	k := &socket{
		id:      id,
		bay:     bay,
		door:    d,
		cancel:  cancel,
		open:    map[string]*invocation{},
		watches: map[string]*invocation{},
	}
	err = d.sockets.add(k)
	return k, err
}

// serve reads frames until the client or the session is gone, and returns once
// nothing runs any more.
func (k *socket) serve(ctx context.Context) {
	var aside sync.WaitGroup
	aside.Go(func() { k.watchSession(ctx) })
	aside.Go(func() { k.sayGoodbye(ctx) })
	aside.Go(func() { k.door.Bay.WatchHelp(ctx, k.id, k.callForUser) })
	defer aside.Wait()
	defer k.cancel(nil)
	for {
		// Not with ctx: its end is told to the client before the connection goes.
		kind, data, err := k.conn.Read(context.WithoutCancel(ctx))
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			k.cancel(agentbay.Errorf(agentbay.Invalid, "text frames only"))
			continue
		}
		k.receive(ctx, data)
	}
}

// watchSession ends the socket when its session has ended. What runs on it hears
// of that by itself, and sooner.
func (k *socket) watchSession(ctx context.Context) {
	look := time.NewTicker(k.door.look)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if _, err := present(ctx, k.bay, k.id); agentbay.CodeOf(err) == agentbay.NotFound {
			k.cancel(err)
			return
		}
	}
}

// sayGoodbye closes the connection once everything that ran on it has been told
// that it is over.
func (k *socket) sayGoodbye(ctx context.Context) {
	<-ctx.Done()
	k.running.Wait()
	reason := agentbay.MessageOf(context.Cause(ctx))
	if errors.Is(context.Cause(ctx), context.Canceled) {
		reason = "" // the client left
	}
	// How a client that is being left takes it does not matter.
	_ = k.conn.Close(websocket.StatusGoingAway, strings.ToValidUTF8(reason[:min(len(reason), 120)], ""))
}

// receive acts on one frame. What is no invocation is ignored: clients send
// heartbeats, and answers to what was never asked.
func (k *socket) receive(ctx context.Context, data []byte) {
	var f frame
	if json.Unmarshal(data, &f) != nil || f.ID == "" {
		return
	}
	if k.takeOverDone(ctx, f) {
		return
	}
	var q request
	if json.Unmarshal(f.Data, &q) != nil {
		k.refuse(f.ID, agentbay.Errorf(agentbay.Invalid, "the frame has no data that names a method"))
		return
	}
	m, ok := methods[q.Method]
	if !ok || f.Target != servers[m.family] {
		k.refuse(f.ID, agentbay.Errorf(agentbay.Invalid, "%s has no method %s on this bay", clip(f.Target), clip(q.Method)))
		return
	}
	if err := m.start(k, ctx, f, q.Params); err != nil {
		k.refuse(f.ID, err)
	}
}

// A method is something a client can ask for over a WebSocket. start returns
// without waiting for it.
type method struct {
	family tool.Family
	start  func(k *socket, ctx context.Context, f frame, params json.RawMessage) error
}

var methods = map[string]method{
	"run_code":                {tool.Code, (*socket).runCode},
	"subscribe_file_change":   {tool.Files, (*socket).subscribe},
	"unsubscribe_file_change": {tool.Files, (*socket).unsubscribe},
}

// An invocation is something running on a socket.
type invocation struct {
	frame
	k      *socket
	call   tool.Call
	cancel context.CancelFunc
	done   chan struct{} // closed when it is over
	seq    int           // of the last event
}

// start runs a tool for a frame until it ends or the socket does. The outcome
// is told to the client by run, except an error.
func (k *socket) start(ctx context.Context, f frame, method string, c tool.Call, run func(context.Context, *invocation) error) (*invocation, error) {
	id := gate.NewRequestID()
	ctx, cancel := context.WithCancel(gate.WithRequestID(ctx, id))
	inv := &invocation{frame: f, k: k, call: c, cancel: cancel, done: make(chan struct{})}
	if err := k.add(inv); err != nil {
		cancel()
		return nil, err
	}
	begun := time.Now()
	k.running.Go(func() {
		defer close(inv.done)
		defer k.remove(inv)
		defer cancel()
		err := run(ctx, inv)
		k.logInvocation(ctx, inv, method, time.Since(begun), err)
		if err != nil {
			k.refuse(f.ID, because(ctx, err))
		}
	})
	return inv, nil
}

// because is why something failed, if it was not for itself.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (k *socket) add(inv *invocation) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open[inv.ID] != nil {
		return agentbay.Errorf(agentbay.Conflict, "an invocation %s is running already", clip(inv.ID))
	}
	if len(k.open) >= maxStreams {
		return agentbay.Errorf(agentbay.Exhausted, "%d invocations are running on this connection; wait for one to end", maxStreams)
	}
	k.open[inv.ID] = inv
	return nil
}

func (k *socket) remove(inv *invocation) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, inv.ID)
}

func (k *socket) logInvocation(ctx context.Context, inv *invocation, method string, took time.Duration, err error) {
	attrs := []slog.Attr{
		slog.String("request_id", gate.RequestID(ctx)),
		slog.String("action", "socket:"+method),
		slog.String("session", string(k.id)),
		slog.String("client_request_id", clip(inv.ID)),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	}
	level := slog.LevelInfo
	if err != nil && ctx.Err() == nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("code", rowOf(err).code), slog.String("error", gate.Scrub(err.Error())))
	}
	k.door.Log.LogAttrs(ctx, level, "invocation", attrs...)
}

// reply sends data to who made the invocation.
func (inv *invocation) reply(ctx context.Context, data any) error {
	return inv.k.send(ctx, frame{ID: inv.ID, Source: inv.Target, Target: client, Data: encode(data)})
}

// refuse ends an invocation with a failure.
func (k *socket) refuse(id string, err error) {
	data := struct {
		Phase string `json:"phase"`
		Error string `json:"error"`
	}{"end", agentbay.MessageOf(err)}
	// To a client that is gone nothing can be said.
	_ = k.send(context.Background(), frame{ID: id, Source: hub, Target: client, Data: encode(data)})
}

// send writes one frame, unfragmented. A client that does not take it in time
// loses the connection.
func (k *socket) send(ctx context.Context, f frame) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	return k.conn.Write(ctx, websocket.MessageText, encode(f))
}
