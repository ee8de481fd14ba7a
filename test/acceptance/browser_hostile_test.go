package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/tool"
)

// wire dials a browser's DevTools as a client that does as it likes.
func wire(t *testing.T, link string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), link, &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	ws.SetReadLimit(-1)
	return ws
}

// command is a message of DevTools.
func command(id int, session, method string, params any) []byte {
	m := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		m["sessionId"] = session
	}
	b, _ := json.Marshal(m)
	return b
}

// works checks that a session's browser serves others.
func works(t *testing.T, s *agentbay.Session, when string) {
	t.Helper()
	if _, err := s.Browser().Navigate(t.Context(), "data:text/html,<title>Works</title>"); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	if err := s.Command("true").Run(t.Context()); err != nil {
		t.Errorf("%s, a command: %v", when, err)
	}
}

func TestABrowserServesOthersBesideAClientThat(t *testing.T) {
	s := session(t, "browser_latest")
	link, err := s.Browser().Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Run("floods it and reads nothing", func(t *testing.T) {
		ws := wire(t, link)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var sent int
		for sent = 0; sent < 50_000; sent++ {
			if ws.Write(ctx, websocket.MessageText, command(sent+1, "", "Target.getTargets", nil)) != nil {
				break // nobody takes more
			}
		}
		t.Logf("%d calls were taken", sent)
		works(t, s, "while it is flooded")
	})
	t.Run("reads no events", func(t *testing.T) {
		conn, err := devtools.Dial(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var page struct{ TargetID string }
		noisy := "data:text/html,<script>setInterval(() => { for (let i = 0; i < 100; i++) console.log('x'.repeat(10000)) }, 1)</script>"
		if err := conn.Browser().Call(t.Context(), "Target.createTarget", map[string]any{"url": noisy, "background": true}, &page); err != nil {
			t.Fatal(err)
		}
		ws := wire(t, link)
		if err := ws.Write(t.Context(), websocket.MessageText, command(1, "", "Target.attachToTarget", map[string]any{"targetId": page.TargetID, "flatten": true})); err != nil {
			t.Fatal(err)
		}
		var attached struct{ Params struct{ SessionID string } }
		for attached.Params.SessionID == "" {
			_, b, err := ws.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			json.Unmarshal(b, &attached)
		}
		if err := ws.Write(t.Context(), websocket.MessageText, command(2, attached.Params.SessionID, "Runtime.enable", nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // of events that nobody reads
		works(t, s, "while events are not read")
		err = conn.Browser().Call(t.Context(), "Target.closeTarget", map[string]any{"targetId": page.TargetID}, nil)
		if refusal := (*devtools.Error)(nil); err != nil && !errors.As(err, &refusal) { // it may have given way, as a page that is stuck
			t.Error(err)
		}
	})
}

// Ten thousand tabs, or large pages, are more than a session has room for: pages
// are given up, and the session goes on.
func TestMorePagesThanThereIsRoomForDoNotEndASession(t *testing.T) {
	s := session(t, "browser_latest")
	link, err := s.Browser().Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := devtools.Dial(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	large := "data:text/html,<title>Large</title><script>const all = []; for (let i = 0; i < 8; i++) all.push(new Uint8Array(8 << 20).fill(i + 1))</script>"
	for range 40 { // 64 MB each, of 2 GB
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_ = conn.Browser().Call(ctx, "Target.createTarget", map[string]any{"url": large}, nil) // it may be given up before it is there
		cancel()
	}
	m, err := s.Metrics(t.Context())
	if err != nil {
		t.Fatalf("the session does not go on: %v", err)
	}
	t.Logf("%d of %d MB are used", m.MemUsed>>20, m.MemTotal>>20)
	works(t, s, "with as many pages as there is room for")
	if err := s.Browser().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Browser().Open(t.Context(), tool.BrowserIn{}); err != nil {
		t.Fatalf("the browser cannot be opened anew: %v", err)
	}
	works(t, s, "afterwards")
}
