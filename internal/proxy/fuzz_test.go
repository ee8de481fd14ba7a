package proxy

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzRelinked(f *testing.F) {
	f.Add(`{"webSocketDebuggerUrl": "ws://localhost:9222/devtools/browser/a-1", "devtoolsFrontendUrl": "/x"}`)
	f.Add(`[{"webSocketDebuggerUrl": "ws://localhost/devtools/page/F0", "devtoolsFrontendUrlCompat": 1}, 7]`)
	f.Fuzz(func(t *testing.T, said string) {
		body, err := relinked([]byte(said), "https://bay/link")
		var targets []map[string]any
		if err != nil || json.Unmarshal(body, &targets) != nil {
			return
		}
		for _, x := range targets {
			socket, ok := x["webSocketDebuggerUrl"].(string)
			if ok && !strings.HasPrefix(socket, "wss://bay/link/devtools/") {
				t.Errorf("%q: %s", said, socket)
			}
			page, ok := x["devtoolsFrontendUrl"].(string)
			if ok && !strings.HasPrefix(page, "https://bay/link/devtools/inspector.html?wss=bay/link/devtools/") {
				t.Errorf("%q: %s", said, page)
			}
		}
	})
}
