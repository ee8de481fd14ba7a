// Package proxy carries bytes from outside to a port of a session: whatever
// HTTP server or WebSocket listens there, behind a link whose path holds the
// token. It passes everything on as it comes and keeps nothing back. Only where
// DevTools say how they are reached, it says how they are through the link.
package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// A Bay is what lets the proxy into sessions.
type Bay interface {
	// Port returns a way to connect to a port of a session, to who shows the
	// token of that port's link.
	//
	// NotFound: there is no such session, or it has ended.
	// Denied: that is not the port's token.
	Port(ctx context.Context, id agentbay.SessionID, port uint16, token string) (Dial, error)
}

// A Dial connects to one port of a session.
type Dial = func(context.Context) (io.ReadWriteCloser, error)

// A Door answers requests to links of ports. Its fields are set before it is used.
type Door struct {
	Bay       Bay
	Log       *slog.Logger // nil means slog.Default
	DevTools  uint16       // the port of browsers' DevTools, which are made to name the link; 0 means none
	PublicURL string       // what links begin with; empty means as the request that asks came in
}

// ServeHTTP passes one request on, and its answer back, until either side ends.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, start := gate.NewRequestID(), time.Now()
	r = r.WithContext(gate.WithRequestID(r.Context(), id))
	w.Header().Set("X-Request-Id", id)
	session, port, err := d.serve(w, r)
	log := d.Log
	if log == nil {
		log = slog.Default()
	}
	attrs := []any{"request_id", id, "session", session, "port", port, "ms", time.Since(start).Milliseconds()}
	if err != nil {
		attrs = append(attrs, "error", gate.Scrub(err.Error()))
	}
	log.InfoContext(r.Context(), "port", attrs...)
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request) (session string, port uint16, err error) {
	session, port, token, prefix, ok := gate.CutPortPath(r.URL.EscapedPath())
	if !ok {
		err = agentbay.Errorf(agentbay.NotFound, "not found: a link to a port looks like /port/SESSION/PORT/TOKEN/")
		fail(w, err)
		return session, port, err
	}
	dial, err := d.Bay.Port(r.Context(), agentbay.SessionID(session), port, token)
	if err != nil {
		fail(w, err)
		return session, port, err
	}
	onward := forward(dial, port, prefix, &err)
	if port == d.DevTools {
		link := gate.Origin(r, d.PublicURL) + prefix
		onward.ModifyResponse = func(answer *http.Response) error { return relink(answer, link) }
	}
	onward.ServeHTTP(w, r)
	return session, port, err
}

// forward passes requests on to the port. failed is set to why it could not.
func forward(dial Dial, port uint16, prefix string, failed *error) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.Host = "localhost:" + strconv.Itoa(int(port))
			path := strings.TrimPrefix(r.In.URL.EscapedPath(), prefix)
			r.Out.URL = &url.URL{Scheme: "http", Host: r.Out.Host, RawQuery: r.In.URL.RawQuery}
			setPath(r.Out.URL, path)
		},
		Transport:     transport(dial),
		FlushInterval: -1, // nothing is kept back
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			*failed = err
			fail(w, agentbay.Wrap(err, agentbay.Unavailable, "port %d of the session gives no answer: %s", port, agentbay.MessageOf(err)))
		},
	}
}

func setPath(u *url.URL, escaped string) {
	if escaped == "" {
		escaped = "/"
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		path = escaped
	}
	u.Path, u.RawPath = path, escaped
}

// transport makes a connection for each request: the session may end at any
// time, and a kept connection would keep it alive.
func transport(dial Dial) http.RoundTripper {
	return &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			if c, ok := conn.(net.Conn); ok {
				return c, nil
			}
			conn.Close()
			return nil, errors.New("the connection to the port is none of the network's")
		},
	}
}

// statuses is how each code looks to a browser.
var statuses = map[agentbay.Code]int{
	agentbay.Invalid:     http.StatusBadRequest,
	agentbay.Denied:      http.StatusForbidden,
	agentbay.NotFound:    http.StatusNotFound,
	agentbay.Conflict:    http.StatusConflict,
	agentbay.Exhausted:   http.StatusServiceUnavailable,
	agentbay.Unavailable: http.StatusBadGateway,
	agentbay.Internal:    http.StatusInternalServerError,
}

func fail(w http.ResponseWriter, err error) {
	http.Error(w, agentbay.MessageOf(err), statuses[agentbay.CodeOf(err)])
}
