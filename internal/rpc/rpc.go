// Package rpc is the wire of the official SDKs. It decodes, calls a
// [agentbay.Service], encodes, and holds no rule of its own; its vocabulary
// stays in this folder.
//
// A [Door] answers on four kinds of path:
//
//	/                      an action, by GET or POST; its name is the parameter Action
//	/link/{id}/callTool    one tool call, JSON in and out
//	/link/{id}/streamTool  one tool call, its events out as they come
//	/ws/{id}               the session's WebSocket
//
// The first asks for an API key as the parameter Authorization, the others for
// the session's token in the header X-Access-Token.
//
// # Actions of our own
//
// They are in the envelope of all actions, and what they answer with is named
// as elsewhere:
//
//	CreateContext          Name                     makes a context; OperationConflict if there is one
//	ListContextSnapshots   ContextId                the states that are kept of it, newest first
//	RestoreContext         ContextId, SnapshotId    makes its files what they were
//
// DescribeContextFiles also takes Skip, how many entries to leave out, in the
// place of PageNumber.
//
// # callTool and streamTool
//
// Both take the same body:
//
//	{"tool":"shell","args":{"command":"true"},"requestId":"…","token":"…"}
//
// requestId is the client's own name for the call and is found in the server's
// log. token may stand in for the header, in bodies of up to 1 MiB.
//
// callTool answers {"code":"200","success":true,"requestId":"…","data":{"result":
// {"content":[{"type":"text","text":"…"}],"isError":false}}}. Where the tool was
// not run the status is not 2xx and the body {"code":"…","success":false,
// "message":"…","requestId":"…"}; code is as for actions.
//
// streamTool, for tools that stream, answers with the tool's events as they are
// made, one JSON value a line. A stream that fails ends in the line
//
//	{"error":{"code":"unavailable","message":"…","requestId":"…"}}
//
// where code is an [agentbay.Code]; no event of a tool looks like that. What fails
// before the first event is answered as callTool does. Closing the connection
// stops the tool.
//
// Every answer has a request ID, in the body and in the header X-Request-Id,
// which names the call in the server's log.
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// A Bay is what this door needs of the core.
type Bay interface {
	// Key returns the service of an API key.
	//
	// Denied: there is no such key, or it is disabled.
	Key(ctx context.Context, key string) (agentbay.Service, error)

	// Token returns the service of the key that made a session, to who shows
	// the session's token.
	//
	// NotFound: there is no such session.
	// Denied: that is not its token.
	Token(ctx context.Context, id agentbay.SessionID, token string) (agentbay.Service, error)

	// WatchHelp calls yield with each request for help to the people at a session's
	// screen as it is made and once it is done, beginning with those that are open,
	// and returns when ctx or the session ends.
	WatchHelp(ctx context.Context, id agentbay.SessionID, yield func(agentbay.Help))
}

// A Door answers the official SDKs. Its fields may be set before it is used;
// only Bay must be.
type Door struct {
	Bay       Bay
	Log       *slog.Logger // nil means slog.Default
	PublicURL string       // what links begin with; empty means as the request that asks came in
	MaxAction int64        // bytes of an action's parameters; 0 means 32 MiB
	MaxCall   int64        // bytes of a link call; 0 means 256 MiB
	MaxHeld   int64        // bytes of all requests being answered; 0 means 1 GiB

	look    time.Duration // between looks whether the session of a socket is still there
	once    sync.Once
	held    budget
	sockets sockets
}

const (
	defaultMaxAction = 32 << 20
	defaultMaxCall   = 256 << 20
	defaultMaxHeld   = 1 << 30
)

func (d *Door) setDefaults() {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	d.MaxAction = orDefault(d.MaxAction, defaultMaxAction)
	d.MaxCall = orDefault(d.MaxCall, defaultMaxCall)
	d.look = orDefault(d.look, defaultLook)
	d.held.max = orDefault(d.MaxHeld, defaultMaxHeld)
}

func orDefault[T int64 | time.Duration](n, otherwise T) T {
	if n == 0 {
		return otherwise
	}
	return n
}

// ServeHTTP answers one request and logs it.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.once.Do(d.setDefaults)
	x := &exchange{
		ResponseWriter: w,
		id:             gate.NewRequestID(),
		start:          time.Now(),
	}
	x.r = r.WithContext(gate.WithRequestID(r.Context(), x.id))
	w.Header().Set("X-Request-Id", x.id)
	defer d.logExchange(x)
	defer d.recoverPanic(x)
	d.route(x)
}

// route picks who answers by the path alone.
func (d *Door) route(x *exchange) {
	path := x.r.URL.Path
	if path == "/" || path == "" {
		d.serveAction(x)
		return
	}
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	id, verb, _ := strings.Cut(rest, "/")
	x.session = id
	switch {
	case kind == "link" && verb == "callTool":
		x.action = "link:callTool"
		d.serveLink(x, d.answerCall)
	case kind == "link" && verb == "streamTool":
		x.action = "link:streamTool"
		d.serveLink(x, d.answerStream)
	case kind == "ws" && verb == "" && id != "":
		x.action = "socket"
		d.serveSocket(x)
	case kind == "view":
		x.session, x.action = "", "view"
		x.fail(http.StatusNotFound, "NotSupported", "no image of this bay has a screen to look at yet", nil)
	default:
		x.session, x.action = "", "unknown path"
		x.fail(http.StatusNotFound, "NotFound", "nothing is here; actions are at /", nil)
	}
}

// recoverPanic turns a bug into an answer. A cut-off answer is not one.
func (d *Door) recoverPanic(x *exchange) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.aborted = true
		d.logExchange(x)
		panic(p)
	}
	d.Log.Error("panic while answering", "request_id", x.id, "panic", p, "stack", string(debug.Stack()))
	if x.status == 0 {
		x.failWith(agentbay.Errorf(agentbay.Internal, "internal error; the server's log has more under this request ID"))
	}
}

// Close ends every WebSocket. Calls in flight are the HTTP server's to end.
func (d *Door) Close() error {
	d.sockets.closeAll()
	return nil
}
