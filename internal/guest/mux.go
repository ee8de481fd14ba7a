package guest

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// MaxEvent is how long one event of a stream may be, in bytes of JSON. A tool
// that can split what it has to say keeps its events below a mebibyte.
const MaxEvent = 16 << 20

// maxArgs bounds the arguments of one call.
const maxArgs = 1 << 30

// ErrEventTooLong is what emit returns for an event longer than MaxEvent. The
// stream goes on without it.
var ErrEventTooLong = fmt.Errorf("event is longer than %d bytes", MaxEvent)

// A Mux performs tools: it is the session's end of the line. Tools are
// registered before it serves; the zero Mux has none.
type Mux struct {
	Token string // what who connects must know; empty means that nobody is let in

	calls   map[string]callFunc
	streams map[string]streamFunc
}

type (
	callFunc   func(context.Context, json.RawMessage) (Answer, error)
	streamFunc func(ctx context.Context, args json.RawMessage, emit func(any) error) error
)

// A badArgs is arguments that do not decode.
type badArgs struct{ error }

// Handle registers what performs a tool. An error is the report of a failure,
// and its text the whole answer; ctx ends when the caller is gone.
func Handle[In, Out any](m *Mux, d tool.Def[In, Out], perform func(context.Context, In) (Answer, error)) {
	if m.calls == nil {
		m.calls = map[string]callFunc{}
	}
	m.calls[d.Name] = func(ctx context.Context, args json.RawMessage) (Answer, error) {
		in, err := d.Decode(args)
		if err != nil {
			return Answer{}, badArgs{err}
		}
		return perform(ctx, in)
	}
}

// HandleStream registers what performs a tool as a stream. Each event is sent
// as soon as it is emitted; emit may be called by one goroutine at a time and
// fails when the caller is gone. An error before the first event is the report
// of a failure; after it, the stream breaks off.
func HandleStream[In, Out any](m *Mux, d tool.Def[In, Out], perform func(ctx context.Context, in In, emit func(event any) error) error) {
	if m.streams == nil {
		m.streams = map[string]streamFunc{}
	}
	m.streams[d.Name] = func(ctx context.Context, args json.RawMessage, emit func(any) error) error {
		in, err := d.Decode(args)
		if err != nil {
			return badArgs{err}
		}
		return perform(ctx, in, emit)
	}
}

// Serve answers on l until ctx is done.
func (m *Mux) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           m.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// Handler is the line as an HTTP handler.
func (m *Mux) Handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /call/{tool}", m.call)
	routes.HandleFunc("POST /stream/{tool}", m.stream)
	routes.HandleFunc("CONNECT /port/{number}", connectPort)
	routes.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.knows(r.Header.Get("Authorization")) {
			http.Error(w, "wrong guest secret", http.StatusUnauthorized)
			return
		}
		routes.ServeHTTP(w, r)
	})
}

// knows reports whether the header of who connects holds the secret.
func (m *Mux) knows(header string) bool {
	return m.Token != "" && subtle.ConstantTimeCompare([]byte(header), []byte("Bearer "+m.Token)) == 1
}

func (m *Mux) call(w http.ResponseWriter, r *http.Request) {
	perform, ok := m.calls[r.PathValue("tool")]
	if !ok {
		noTool(w, r)
		return
	}
	args, ok := readArgs(w, r)
	if !ok {
		return
	}
	answer, err := perform(r.Context(), args)
	if refuse(w, err) {
		return
	}
	if err != nil {
		answer = Text(err.Error()).AsFailure()
	}
	sendAnswer(w, answer)
}

func sendAnswer(w http.ResponseWriter, a Answer) {
	head(w, "text/plain; charset=utf-8", a.Failed)
	if err := a.send(w); err != nil {
		panic(http.ErrAbortHandler) // the caller must not take what it got for the whole
	}
}

func (m *Mux) stream(w http.ResponseWriter, r *http.Request) {
	perform, ok := m.streams[r.PathValue("tool")]
	if !ok {
		noTool(w, r)
		return
	}
	args, ok := readArgs(w, r)
	if !ok {
		return
	}
	events := &eventWriter{w: w, flush: http.NewResponseController(w).Flush}
	err := perform(r.Context(), args, events.emit)
	switch {
	case err != nil && events.began:
		panic(http.ErrAbortHandler)
	case refuse(w, err):
	case err != nil:
		sendAnswer(w, Text(err.Error()).AsFailure())
	case !events.began:
		head(w, "application/x-ndjson", false)
	}
}

// An eventWriter sends events, one a line.
type eventWriter struct {
	w     http.ResponseWriter
	flush func() error
	began bool
}

func (e *eventWriter) emit(event any) error {
	line, err := encode(event)
	if err != nil {
		return err
	}
	if len(line) > MaxEvent {
		return ErrEventTooLong
	}
	if !e.began {
		e.began = true
		head(e.w, "application/x-ndjson", false)
	}
	if _, err := e.w.Write(append(line, '\n')); err != nil {
		return err
	}
	return e.flush()
}

func head(w http.ResponseWriter, contentType string, failed bool) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h["Date"] = nil // the host has a better clock
	if failed {
		h.Set(FailedHeader, "true")
	}
}

func noTool(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "tool not found: "+r.PathValue("tool"), http.StatusNotFound)
}

// refuse answers for arguments that do not decode, and reports whether it did.
func refuse(w http.ResponseWriter, err error) bool {
	var bad badArgs
	if !errors.As(err, &bad) {
		return false
	}
	http.Error(w, bad.Error(), http.StatusBadRequest)
	return true
}

// readArgs reads a call's arguments into one buffer of their size.
func readArgs(w http.ResponseWriter, r *http.Request) (json.RawMessage, bool) {
	if r.ContentLength < 0 || r.ContentLength > maxArgs {
		http.Error(w, fmt.Sprintf("arguments must have a length of at most %d bytes", maxArgs), http.StatusRequestEntityTooLarge)
		return nil, false
	}
	args := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, args); err != nil {
		http.Error(w, "arguments broke off", http.StatusBadRequest)
		return nil, false
	}
	return args, true
}
