package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// discovery is where DevTools say which WebSockets they have. What else they
// answer holds no links.
var discovery = regexp.MustCompile(`^/json(/list|/version|/new)?/?$`)

// maxDiscovery bounds what they say, in bytes.
const maxDiscovery = 1 << 20

// relink makes what DevTools say of their WebSockets lead through the link that
// they were asked by. They name their address in the session, which is good for
// nobody outside. Other answers are left alone.
func relink(answer *http.Response, link string) error {
	if !discovery.MatchString(answer.Request.URL.Path) || answer.StatusCode != http.StatusOK || answer.Request.Method == http.MethodHead {
		return nil
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxDiscovery+1))
	answer.Body.Close()
	if err != nil {
		return err
	}
	body, err := relinked(said, link)
	if err != nil {
		return err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.ContentLength = int64(len(body))
	answer.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// relinked is one target or a list of them, in JSON, with their links replaced.
func relinked(said []byte, link string) ([]byte, error) {
	if len(said) > maxDiscovery {
		return nil, agentbay.Errorf(agentbay.Unavailable, "the browser says more than %d bytes of itself", maxDiscovery)
	}
	var v any
	if err := json.Unmarshal(said, &v); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the browser says nothing of itself that can be read")
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, t := range list {
		if target, ok := t.(map[string]any); ok {
			relinkTarget(target, link)
		}
	}
	return json.MarshalIndent(v, "", "  ")
}

// socketPath is the path of a WebSocket of DevTools.
var socketPath = regexp.MustCompile(`^/devtools/[a-z_]+/[0-9A-Za-z-]+$`)

// relinkTarget replaces the links of one target. The session decides about the
// target only, so that it cannot lead clients elsewhere; what names none is dropped.
func relinkTarget(target map[string]any, link string) {
	said, _ := target["webSocketDebuggerUrl"].(string)
	_, hasPage := target["devtoolsFrontendUrl"]
	delete(target, "webSocketDebuggerUrl")
	delete(target, "devtoolsFrontendUrl")
	delete(target, "devtoolsFrontendUrlCompat")
	u, err := url.Parse(said)
	if err != nil || !socketPath.MatchString(u.Path) {
		return
	}
	socket := gate.Socket(link) + u.Path
	target["webSocketDebuggerUrl"] = socket
	if hasPage { // the browser has the page, too
		scheme, address, _ := strings.Cut(socket, "://")
		target["devtoolsFrontendUrl"] = link + "/devtools/inspector.html?" + scheme + "=" + address
	}
}
