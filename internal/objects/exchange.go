package objects

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// An exchange is one request being answered, and what the log will say of it.
type exchange struct {
	http.ResponseWriter
	r       *http.Request
	id      string // request ID
	start   time.Time
	context string // the ticket's
	status  int    // 0 until the answer has begun
	bytes   int64
	cause   error
}

// Unwrap lets http.ResponseController reach the connection.
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
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(stall)) // fails only in tests
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// harden keeps browsers from doing anything with a file but save it: whoever
// filled the context decides what is in it.
func (x *exchange) harden() {
	h := x.Header()
	h.Set("X-Request-Id", x.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
}

// setETag sets what names the content, if there is something.
func (x *exchange) setETag(etag string) {
	if etag = strings.Trim(etag, `"`); etag != "" {
		x.Header().Set("ETag", `"`+etag+`"`)
	}
}

// errMethod marks a method that a link is not for.
var errMethod = errors.New("wrong method")

func (x *exchange) wrongMethod(allowed, message string) error {
	x.Header().Set("Allow", allowed)
	return agentbay.Wrap(errMethod, agentbay.Invalid, "%s", message)
}

// statuses is how each Code looks to who holds a URL.
var statuses = map[agentbay.Code]int{
	agentbay.Invalid:     http.StatusBadRequest,
	agentbay.Denied:      http.StatusForbidden,
	agentbay.NotFound:    http.StatusNotFound,
	agentbay.Conflict:    http.StatusConflict,
	agentbay.Exhausted:   http.StatusInsufficientStorage,
	agentbay.Unavailable: http.StatusServiceUnavailable,
	agentbay.Internal:    http.StatusInternalServerError,
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return statuses[agentbay.CodeOf(err)]
}

// fail answers with a sentence.
func (x *exchange) fail(err error) {
	x.Header().Del("Content-Disposition")
	http.Error(x, agentbay.MessageOf(err), statusOf(err))
}

// log writes the one line that every request gets.
func (d *Door) log(x *exchange) {
	log, level := d.Log, slog.LevelInfo
	if log == nil {
		log = slog.Default()
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id),
		slog.String("method", x.r.Method[:min(len(x.r.Method), 7)]),
		slog.String("context", x.context),
		slog.Int("status", x.status),
		slog.Int64("bytes", x.bytes),
		slog.Float64("ms", float64(time.Since(x.start).Microseconds())/1000),
		slog.String("remote", x.r.RemoteAddr),
	}
	if x.cause != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("error", gate.Scrub(x.cause.Error())))
	}
	if x.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	log.LogAttrs(x.r.Context(), level, "object", attrs...)
}
