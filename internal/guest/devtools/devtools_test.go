package devtools_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/agentbay/agentbay/internal/guest/devtools"
)

type message map[string]any

// browser is one that answers each message as the function does, which may send
// more.
func browser(t *testing.T, answer func(m message, send func(message))) *devtools.Conn {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			var m message
			if wsjson.Read(r.Context(), ws, &m) != nil {
				return
			}
			if m["method"] == "Browser.crash" {
				return
			}
			answer(m, func(m message) { wsjson.Write(r.Context(), ws, m) })
		}
	}))
	t.Cleanup(srv.Close)
	c, err := devtools.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCallsGetTheirOwnAnswers(t *testing.T) {
	var held atomic.Pointer[message]
	c := browser(t, func(m message, send func(message)) {
		switch m["method"] {
		case "Late": // answered after the next
			held.Store(&m)
		case "Early":
			send(message{"id": m["id"], "sessionId": m["sessionId"], "result": message{"of": "early"}})
			send(message{"id": (*held.Load())["id"], "result": message{"of": "late"}})
		case "Attach":
			send(message{"method": "Target.attachedToTarget", "params": message{"sessionId": "s"}})
			send(message{"id": m["id"], "result": message{}})
		case "No":
			send(message{"id": m["id"], "error": message{"code": -32000, "message": "not here"}})
		case "Strange":
			send(message{"id": m["id"], "result": "no object"})
		}
	})
	late := make(chan error, 1)
	var out, first struct{ Of string }
	began := make(chan bool)
	go func() {
		close(began)
		late <- c.Browser().Call(t.Context(), "Late", nil, &first)
	}()
	<-began
	for held.Load() == nil {
		if err := c.Browser().Call(t.Context(), "No", map[string]any{"a": 1}, nil); err == nil || err.Error() != "not here" {
			t.Fatalf("refused: %v", err)
		}
	}
	if err := c.Browser().Call(t.Context(), "Attach", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Browser().Session("s").Call(t.Context(), "Early", nil, &out); err != nil || out.Of != "early" {
		t.Errorf("early: %+v, %v", out, err)
	}
	if err := <-late; err != nil || first.Of != "late" {
		t.Errorf("late: %+v, %v", first, err)
	}
	var refusal *devtools.Error
	if err := c.Browser().Call(t.Context(), "No", nil, nil); !errors.As(err, &refusal) || refusal.Code != -32000 {
		t.Errorf("refused: %v", err)
	}
	if err := c.Browser().Call(t.Context(), "Strange", nil, &out); err == nil {
		t.Error("an answer of another shape is taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Browser().Call(ctx, "Never", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without an answer: %v", err)
	}
	if err := c.Browser().Call(t.Context(), "Browser.crash", nil, nil); !errors.Is(err, devtools.ErrGone) {
		t.Errorf("of a browser that ends: %v", err)
	}
	if err := c.Browser().Tell(t.Context(), "No", nil); !errors.Is(err, devtools.ErrGone) {
		t.Errorf("of one that has ended: %v", err)
	}
}

func TestCallsEndWithTheirTarget(t *testing.T) {
	c := browser(t, func(m message, send func(message)) {
		switch m["method"] {
		case "Attach":
			for _, id := range []string{"a", "b"} {
				send(message{"method": "Target.attachedToTarget", "params": message{"sessionId": id}})
			}
			send(message{"id": m["id"], "result": message{}})
		case "Close": // and is answered before
			send(message{"id": m["id"], "result": message{}})
			send(message{"method": "Target.detachedFromTarget", "params": message{"sessionId": "a"}})
		}
	})
	if err := c.Browser().Call(t.Context(), "Attach", nil, nil); err != nil {
		t.Fatal(err)
	}
	a, b := c.Browser().Session("a"), c.Browser().Session("b")
	never := map[devtools.Session]chan error{a: make(chan error, 1), b: make(chan error, 1)}
	for s, ended := range never {
		go func() { ended <- s.Call(t.Context(), "Never", nil, nil) }()
	}
	if err := a.Call(t.Context(), "Close", nil, nil); err != nil {
		t.Errorf("what was answered: %v", err)
	}
	if err := <-never[a]; err != devtools.ErrClosed {
		t.Errorf("what was not: %v", err)
	}
	if err := a.Call(t.Context(), "Late", nil, nil); err != devtools.ErrClosed {
		t.Errorf("what comes later: %v", err)
	}
	select {
	case err := <-never[b]:
		t.Errorf("of another target: %v", err)
	default:
	}
	c.Close()
	if err := <-never[b]; err != devtools.ErrGone {
		t.Errorf("at the end: %v", err)
	}
}

func TestEventsGoToWhoAskedForThem(t *testing.T) {
	c := browser(t, func(m message, send func(message)) {
		send(message{"method": "Happened", "sessionId": "a", "params": message{"n": 1}})
		send(message{"method": "Happened", "sessionId": "b", "params": message{"n": 2}})
		send(message{"method": "Other", "sessionId": "a", "params": message{"n": 3}})
		send(message{"id": 999_999, "result": message{}}) // which nobody asked for
		send(message{"id": m["id"], "result": message{}})
	})
	a, b := c.Browser().Session("a"), c.Browser().Session("b")
	var heard []string
	hear := func(as string) func(json.RawMessage) {
		return func(params json.RawMessage) { heard = append(heard, as+string(params)) }
	}
	stop := a.On("Happened", hear("a"))
	b.On("Happened", hear("b"))
	b.On("Happened", hear("b too"))
	happen := func() string {
		heard = nil
		if err := c.Browser().Call(t.Context(), "Go", nil, nil); err != nil { // events come before its answer
			t.Fatal(err)
		}
		return strings.Join(heard, " ")
	}
	if got := happen(); !strings.HasPrefix(got, `a{"n":1} b`) || strings.Count(got, `{"n":2}`) != 2 {
		t.Errorf("heard %s", got)
	}
	stop()
	b.Forget()
	if got := happen(); got != "" {
		t.Errorf("heard %s after all were stopped", got)
	}
}

func TestNothingAnswersWhereThereIsNoBrowser(t *testing.T) {
	if _, err := devtools.Dial(t.Context(), "ws://127.0.0.1:1/"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("dialled: %v", err)
	}
}
