package view

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/control"
)

// maxAsk bounds what a page asks for, in bytes.
const maxAsk = 16 << 10

// An ask is what a page asks for.
type ask struct {
	Do   string `json:"do"` // take or hand back
	Note string `json:"note"`
}

// A told is what a page is told, whenever it changes.
type told struct {
	Session string     `json:"session"`
	Screen  bool       `json:"screen"`
	MayAct  bool       `json:"may_act"`
	Viewers int        `json:"viewers"`
	Control string     `json:"control"` // nobody, you or somebody
	Since   *time.Time `json:"since,omitempty"`
	Help    []toldHelp `json:"help"`
	Filmed  bool       `json:"filmed"` // the screen is recorded
	Over    string     `json:"over,omitempty"`
	Error   string     `json:"error,omitempty"` // why what was asked for last was not done
}

type toldHelp struct {
	ID      string             `json:"id"`
	Message string             `json:"message"`
	State   agentbay.HelpState `json:"state"`
}

// serveControl tells a page how things are, and does what it asks for. Its
// viewer is there as long as it is.
func (d *Door) serveControl(w http.ResponseWriter, r *http.Request, session agentbay.SessionID, s *Screen) error {
	id, err := viewerID(r)
	if err == nil {
		var leave func()
		if leave, err = s.Desk.Join(control.Viewer{ID: id, Address: host(r.RemoteAddr), MayAct: s.MayAct}); err == nil {
			defer leave()
		}
	}
	if err != nil {
		err = agentbay.Wrap(err, agentbay.Invalid, "%s", agentbay.MessageOf(err))
		refuse(w, err)
		return err
	}
	ws, err := accept(w, r)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(maxAsk)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	go keepAlive(ctx, ws, cancel)
	failed := make(chan error, 1)
	go func() {
		defer cancel()
		hear(ctx, ws, s.Desk, id, failed)
	}()
	p := page{ws: ws, session: string(session), screen: s, id: id}
	return p.tell(ctx, failed)
}

// host is an address without its port.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// hear does what a page asks for, until it is gone.
func hear(ctx context.Context, ws *websocket.Conn, desk *control.Desk, id string, failed chan<- error) {
	for {
		kind, b, err := ws.Read(ctx)
		if err != nil {
			return
		}
		var a ask
		if kind != websocket.MessageText || json.Unmarshal(b, &a) != nil {
			return
		}
		switch a.Do {
		case "take":
			if err := desk.Take(id); err != nil {
				select {
				case failed <- err:
				default: // it is told of the one before
				}
			}
		case "hand back":
			desk.HandBack(id, a.Note)
		}
	}
}

// A page is a viewer's page that is told how things are.
type page struct {
	ws      *websocket.Conn
	session string
	screen  *Screen
	id      string
}

// tell tells a page how things are, and again when they change.
func (p page) tell(ctx context.Context, failed <-chan error) error {
	var why error
	for {
		changed := p.screen.Desk.Changed()
		t := p.now(why)
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if err := p.ws.Write(ctx, websocket.MessageText, b); err != nil {
			return nil // it is gone
		}
		if t.Over != "" {
			return p.ws.Close(websocket.StatusNormalClosure, "the session has ended")
		}
		why = nil
		select {
		case <-changed:
		case why = <-failed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p page) now(why error) told {
	st := p.screen.Desk.State()
	t := told{
		Session: p.session, Screen: p.screen.Dial != nil, MayAct: p.screen.MayAct, Viewers: st.Viewers, Control: "nobody", Help: []toldHelp{}, Filmed: st.Filmed,
	}
	switch st.Holder {
	case "":
	case p.id:
		t.Control = "you"
	default:
		t.Control = "somebody"
	}
	if st.Holder != "" {
		t.Since = &st.Since
	}
	for _, h := range st.Help {
		if h.State != agentbay.HelpDone {
			t.Help = append(t.Help, toldHelp{h.ID, h.Message, h.State})
		}
	}
	if st.Over != nil {
		t.Over = agentbay.MessageOf(st.Over)
	}
	if why != nil {
		t.Error = agentbay.MessageOf(why)
	}
	return t
}
