package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// chromium is what Chromium says of itself, at some paths.
var chromium = map[string]string{
	"/json/version": `{"Browser": "Chrome/1", "webSocketDebuggerUrl": "ws://localhost:9222/devtools/browser/a-1"}`,
	"/json/list": `[{"title": "a<b", "devtoolsFrontendUrl": "https://frontend.example/inspector.html?ws=localhost:9222/devtools/page/F0",
		"webSocketDebuggerUrl": "ws://localhost:9222/devtools/page/F0"}]`,
	"/json/protocol": `{"webSocketDebuggerUrl":   "as it is"}`,
}

func devTools(t *testing.T) linked {
	l := link(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, chromium[strings.TrimSuffix(r.URL.Path, "/")])
	})
	l.proxy.DevTools = l.port
	return l
}

func TestDevToolsNameTheLinkTheyAreAskedBy(t *testing.T) {
	l := devTools(t)
	base := strings.TrimSuffix(l.url(""), "/")
	ws := "ws" + strings.TrimPrefix(base, "http")
	for _, path := range []string{"json/version", "json/version/"} {
		want := map[string]any{"Browser": "Chrome/1", "webSocketDebuggerUrl": ws + "/devtools/browser/a-1"}
		same(t, path, l, want)
	}
	want := []any{map[string]any{
		"title":                "a<b",
		"devtoolsFrontendUrl":  base + "/devtools/inspector.html?" + strings.Replace(ws, "://", "=", 1) + "/devtools/page/F0",
		"webSocketDebuggerUrl": ws + "/devtools/page/F0",
	}}
	same(t, "json/list", l, want)
	l.proxy.PublicURL = "https://bay.example/"
	same(t, "json/version", l, map[string]any{
		"Browser":              "Chrome/1",
		"webSocketDebuggerUrl": strings.Replace(ws, "ws"+strings.TrimPrefix(l.door.URL, "http"), "wss://bay.example", 1) + "/devtools/browser/a-1",
	})
}

func same(t *testing.T, path string, l linked, want any) {
	t.Helper()
	status, body := get(t, l.url("")+path)
	var got any
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %q, %v", path, status, body, err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s: %s, want %s", path, a, b)
	}
}

func TestOnlyDevToolsAreRewritten(t *testing.T) {
	l := devTools(t)
	if _, body := get(t, l.url("")+"json/protocol"); body != chromium["/json/protocol"] {
		t.Errorf("what names no socket came as %q", body)
	}
	l.proxy.DevTools = l.port + 1
	if _, body := get(t, l.url("")+"json/version"); body != chromium["/json/version"] {
		t.Errorf("another port's answer came as %q", body)
	}
}

// A session answers what it likes; no link of it leads anywhere else.
func TestASessionCannotLeadElsewhere(t *testing.T) {
	evil := ""
	l := link(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, evil) })
	l.proxy.DevTools = l.port
	for name, tc := range map[string]struct {
		said   string
		status int
	}{
		"elsewhere":         {`{"webSocketDebuggerUrl": "wss://evil.example/devtools/browser/x"}`, 200},
		"out of the link":   {`{"webSocketDebuggerUrl": "ws://localhost/devtools/page/../../../../evil"}`, 200},
		"a query":           {`[{"webSocketDebuggerUrl": "ws://localhost/devtools/page/x?ws=evil", "devtoolsFrontendUrl": "javascript:evil"}]`, 200},
		"escaped":           {`{"webSocketDebuggerUrl": "ws://x/devtools/page/%2e%2e%2fevil"}`, 200},
		"of no string":      {`{"webSocketDebuggerUrl": ["wss://evil.example"], "devtoolsFrontendUrl": {"a": "evil"}}`, 200},
		"twice":             {`{"webSocketDebuggerUrl": "x", "webSocketDebuggerUrl": "wss://evil.example/"}`, 200},
		"of no object":      {`[1, null, "x", []]`, 200},
		"no JSON":           {`{"webSocketDebuggerUrl": "wss://evil.example/"`, 502},
		"nothing":           {"", 502},
		"too much":          {`"` + strings.Repeat("x", 1<<20) + `"`, 502},
		"too deep":          {strings.Repeat("[", 100_000), 502},
		"an older frontend": {`{"devtoolsFrontendUrlCompat": "https://evil.example/"}`, 200},
	} {
		evil = tc.said
		status, body := get(t, l.url("")+"json/list")
		if status != tc.status || strings.Contains(body, "evil") {
			t.Errorf("%s: %d %.200q, want %d and no way elsewhere", name, status, body, tc.status)
		}
	}
}
