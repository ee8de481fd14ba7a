package rpc

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/agentbay/agentbay/internal/gate"
)

// stall is how long a client may take none of an answer before it is cut off.
const stall = 2 * time.Minute

// An exchange is one request being answered, and what the log will say of it.
type exchange struct {
	http.ResponseWriter
	r       *http.Request
	id      string // request ID
	start   time.Time
	action  string
	session string
	client  string // the client's own name of the call
	code    string // wire code of a failure
	cause   error  // for the log
	status  int    // 0 until the answer has begun
	bytes   int64
	aborted bool
	logged  bool
}

// Unwrap lets http.ResponseController and WebSockets reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader begins the answer.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write sends a piece of the answer, to a client that takes it in time.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	// Not every writer has deadlines, and those of the server do.
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(stall))
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// json answers with v. A client that has gone is no concern of ours.
func (x *exchange) json(status int, v any) {
	b := encode(v)
	x.Header().Set("Content-Type", "application/json; charset=utf-8")
	x.WriteHeader(status)
	_, _ = x.Write(b)
}

// encode is v in JSON as clients like it: < and > as they are, one line.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("rpc: " + err.Error()) // only of our own types
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// logExchange writes the one line that every request gets. The request's target
// is never in it, because clients put their keys there.
func (d *Door) logExchange(x *exchange) {
	if x.logged {
		return
	}
	x.logged = true
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("action", clip(x.action)),
		slog.Int("status", x.status),
		slog.Float64("ms", float64(time.Since(x.start).Microseconds())/1000),
		slog.Int64("bytes", x.bytes),
		slog.String("remote", x.r.RemoteAddr),
	}
	for _, a := range [][2]string{{"session", x.session}, {"client_request_id", x.client}, {"code", x.code}} {
		if a[1] != "" {
			attrs = append(attrs, slog.String(a[0], clip(a[1])))
		}
	}
	if x.cause != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", gate.Scrub(x.cause.Error())))
	}
	if x.aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if x.status >= 500 {
		level = slog.LevelError
	}
	d.Log.LogAttrs(x.r.Context(), level, "request", attrs...)
}

// clip bounds and scrubs what a client has sent, for the log.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return gate.Scrub(s)
}
