// Package view is the door for people: a page that shows a session's screen, with
// mouse and keyboard, and on which control can be taken and handed back.
//
//	/view/SESSION/TOKEN/            the page
//	/view/SESSION/TOKEN/page/…      its parts
//	/view/SESSION/TOKEN/novnc/…     the viewer that it is made with
//	/view/SESSION/TOKEN/screen      a WebSocket that carries RFB
//	/view/SESSION/TOKEN/control     a WebSocket for who is in control, in JSON
//
// It has another page, which plays what a session's browser showed (replay.go).
//
// The token says whether its holder may act or only watch. What a viewer sends is
// parsed here, message by message: nothing of who may not act reaches the screen.
package view

import (
	"context"
	"embed"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/control"
	"github.com/agentbay/agentbay/internal/gate"
)

// A Bay is what lets people see sessions.
type Bay interface {
	// View lets in who shows the token of a session's page.
	//
	// NotFound: there is no such session, or it has ended.
	// Denied: that is no token of its pages, or was revoked.
	View(ctx context.Context, id agentbay.SessionID, token string) (*Screen, error)

	// OpenReplay opens the replay that a ticket names.
	//
	// Denied: the ticket is not of this bay, or is too old.
	// NotFound: the replay is not kept any more.
	OpenReplay(ticket string) (*Replay, error)
}

// A Screen is a session as one page sees it.
type Screen struct {
	Desk   *control.Desk
	MayAct bool
	Dial   func(context.Context) (io.ReadWriteCloser, error) // to the screen, which speaks RFB; nil if there is none
	Touch  func()                                            // is told that a person has done something
}

// A Door answers requests to pages. Its fields are set before it is used.
type Door struct {
	Bay Bay
	Log *slog.Logger // nil means slog.Default

	once sync.Once
	ctx  context.Context // ends with the door
	end  context.CancelFunc
}

//go:embed page
var pages embed.FS

// novnc is the viewer, which scripts/novnc puts there; without it only a note.
//
//go:embed all:novnc
var novnc embed.FS

// Complete reports whether this program was built with the viewer.
func Complete() bool {
	_, err := fs.Stat(novnc, "novnc/core/rfb.js")
	return err == nil
}

// Close ends all connections of viewers.
func (d *Door) Close() {
	d.open()
	d.end()
}

func (d *Door) open() {
	d.once.Do(func() { d.ctx, d.end = context.WithCancel(context.Background()) })
}

// ServeHTTP answers one request and logs it; the path, which has the token, is
// not in the log.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.open()
	id, start := gate.NewRequestID(), time.Now()
	session, token, part, ok := gate.CutViewPath(r.URL.Path)
	ticket, replayPart, isReplay := gate.CutReplayPath(r.URL.Path)
	err := error(agentbay.Errorf(agentbay.NotFound, "not found: the page of a session looks like /view/SESSION/TOKEN/"))
	switch {
	case ok:
		err = d.serve(w, r, agentbay.SessionID(session), token, part)
	case isReplay:
		part = replayPart
		err = d.serveReplay(w, r, ticket, part)
	default:
		refuse(w, err)
	}
	log := d.Log
	if log == nil {
		log = slog.Default()
	}
	attrs := []any{"request_id", id, "session", session, "part", path.Base("/" + part), "ms", time.Since(start).Milliseconds(), "remote", r.RemoteAddr}
	if err != nil {
		attrs = append(attrs, "error", gate.Scrub(err.Error()))
	}
	log.InfoContext(r.Context(), "view", attrs...)
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request, session agentbay.SessionID, token, part string) error {
	harden(w.Header(), viewPolicy)
	if name, ok := strings.CutPrefix(part, "page/"); ok {
		return file(w, r, pages, path.Join("page", path.Clean("/"+name)))
	}
	if name, ok := strings.CutPrefix(part, "novnc/"); ok {
		return file(w, r, novnc, path.Join("novnc", path.Clean("/"+name)))
	}
	s, err := d.Bay.View(r.Context(), session, token)
	if err != nil {
		refuse(w, err)
		return err
	}
	switch part {
	case "":
		w.Header().Set("Cache-Control", "no-store") // its address is a secret
		return file(w, r, pages, "page/index.html")
	case "screen":
		return d.serveScreen(w, r, s)
	case "control":
		return d.serveControl(w, r, session, s)
	}
	return noPart(w)
}

// viewPolicy is what the page of a session may load.
const viewPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'"

// harden says what a browser may do with the page: it may be framed, but runs
// nothing of others.
func harden(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// file sends a part of the page.
func file(w http.ResponseWriter, r *http.Request, from embed.FS, name string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		err := agentbay.Errorf(agentbay.Invalid, "a page is got with GET")
		refuse(w, err)
		return err
	}
	b, err := from.ReadFile(name)
	if err != nil {
		return noPart(w)
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "private, max-age=300")
	}
	_, err = w.Write(b)
	return err
}

func noPart(w http.ResponseWriter) error {
	err := agentbay.Errorf(agentbay.NotFound, "there is no such part of the page")
	refuse(w, err)
	return err
}

// types is what browsers are told of each kind of file.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
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

func refuse(w http.ResponseWriter, err error) {
	http.Error(w, agentbay.MessageOf(err), statuses[agentbay.CodeOf(err)])
}

// viewerID is the name that a page gives itself. It is long enough not to be
// guessed, so that nobody acts in another's name.
func viewerID(r *http.Request) (string, error) {
	id := r.URL.Query().Get("viewer")
	if len(id) < 20 || len(id) > 64 {
		return "", errors.New("the page has no name of its own; load it anew")
	}
	return id, nil
}
