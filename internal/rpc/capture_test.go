package rpc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A capture is a request that an SDK has sent.
type capture struct {
	Method  string
	Target  string
	Headers [][2]string
	Body    string
	Kind    string // rpc, link, ws or store
}

// send puts the request on the wire as it was sent: the same headers in the same
// order, and chunked if it was.
func (c capture) send(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", c.Method, c.Target)
	chunked := false
	for _, h := range c.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		chunked = chunked || strings.EqualFold(h[0], "Transfer-Encoding")
	}
	b.WriteString("\r\n")
	if chunked {
		chunks := httputil.NewChunkedWriter(&b)
		io.WriteString(chunks, c.Body)
		chunks.Close()
		b.WriteString("\r\n")
	} else {
		b.WriteString(c.Body)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// captures reads the lines of a file of captured requests.
func captures[T any](t *testing.T, name string) (all []T) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "captures", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all = append(all, v)
	}
	return all
}

func TestEveryCapturedRequestIsUnderstood(t *testing.T) {
	for _, sdk := range []string{"python", "typescript", "go", "java"} {
		t.Run(sdk, func(t *testing.T) {
			bay := newMemBay()
			bay.anyID = true
			srv, _ := serve(t, bay)
			for i, c := range captures[capture](t, sdk+".jsonl") {
				conn, err := net.Dial("tcp", srv.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if err := c.send(conn); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.Method})
				if err != nil {
					t.Fatalf("request %d: %v", i+1, err)
				}
				c.check(t, i+1, res)
				conn.Close()
			}
		})
	}
}

// check checks that an answer is that of a request that was understood.
func (c capture) check(t *testing.T, line int, res *http.Response) {
	t.Helper()
	switch c.Kind {
	case "rpc":
		c.checkAction(t, line, res)
	case "link":
		got := strict[wireLink](t, readAll(t, res))
		if res.StatusCode != 200 || got.Code != "200" || !got.Success || got.Data == nil || len(got.Data.Result.Content) != 1 {
			t.Errorf("line %d: %d %+v", line, res.StatusCode, got)
		}
	case "ws":
		if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("line %d: %d, extensions %q; want 101 and none", line, res.StatusCode, res.Header.Get("Sec-WebSocket-Extensions"))
		}
	case "store":
		if res.StatusCode != 404 { // another door's; see package objects
			t.Errorf("line %d: %d, want 404", line, res.StatusCode)
		}
	default:
		t.Errorf("line %d: kind %q", line, c.Kind)
	}
}

type wireLink struct {
	Code, Message, RequestID string
	Success                  bool
	Data                     *struct{ Result wireResult }
}

func (c capture) checkAction(t *testing.T, line int, res *http.Response) {
	t.Helper()
	p, err := parseParams(strings.TrimPrefix(c.Target, "/?"), c.Body)
	if err != nil {
		t.Fatal(err)
	}
	action := p.get("Action")
	e := checkEnvelope(t, action, res, readAll(t, res))
	want := []string{"ok"}
	switch {
	case slices.Contains(strings.Fields(missing), action):
		want = []string{"InvalidAction.NotFound"}
	case p.get("SessionId") == "nonexist":
		want = []string{"InvalidMcpSession.NotFound"}
	case action == "GetContext" && p.get("Name") == "nope":
		want = []string{"ContextNotFound"}
	case action == "GetContext" && p.get("Name")+p.get("ContextId") == "":
		want = []string{"InvalidParameter"}
	case action == "GetLink":
		want = []string{"ok", "PARAM_ERROR"}
	case action == "GetCdpLink":
		want = []string{"ok", "InvalidParameter"} // some ask it of a session without a browser
	case action == "GetAdbLink":
		want = []string{"NotSupported"}
	case action == "CreateMcpSession" && refusable(p.Values):
		want = []string{"InvalidParameter"}
	}
	if !slices.Contains(want, *e.Code) {
		t.Errorf("line %d: %s %v: %s %s, want %s", line, action, p.Values, *e.Code, *e.Message, want)
	}
}

// refusable reports whether a session is asked for that this release cannot make.
func refusable(p url.Values) bool {
	for _, name := range []string{"McpPolicyId", "NetworkId", "LoadSkill"} {
		if p.Has(name) {
			return true
		}
	}
	return slices.Contains([]string{"mobile_latest", "windows_latest"}, p.Get("ImageId"))
}

func TestEveryCapturedFrameIsUnderstood(t *testing.T) {
	bay := newMemBay()
	srv, _ := serve(t, bay)
	type sent struct{ SDK, Frame string }
	for i, c := range captures[sent](t, "ws-frames.jsonl") {
		var f frame
		if err := json.Unmarshal([]byte(c.Frame), &f); err != nil {
			t.Fatal(err)
		}
		var q request
		if err := json.Unmarshal(f.Data, &q); err != nil {
			t.Fatal(err)
		}
		conn := dial(t, srv)
		conn.write(c.Frame)
		if q.Method == "unsubscribe_file_change" {
			conn.write(`{"invocationId":"after","target":"nobody","source":"SDK","data":{}}`)
			if got := conn.read(); got.ID != "after" {
				t.Errorf("line %d: %s was answered: %+v", i+1, c.Frame, got)
			}
			conn.CloseNow()
			continue
		}
		got := conn.read()
		refused := got.Source == hub
		if wantRefused := q.Method == "exec_task" || q.Method == "resume_task"; got.ID != f.ID || got.Target != client || refused != wantRefused || !refused && got.Data.Phase != "end" {
			t.Errorf("line %d: %s got %+v", i+1, c.Frame, got)
		}
		conn.Close(websocket.StatusNormalClosure, "")
	}
}
