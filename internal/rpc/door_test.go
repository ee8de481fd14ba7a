package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/listener"
	"github.com/agentbay/agentbay/tool"
)

const (
	testKey   = "akm-0123456789012345678901234567890123456789"
	testToken = "tok-0123456789012345678901234567890123456789012"
	testID    = "session-04bdwfj9q2k1mzt7x5r8c3vn6h"
)

// A memBay is a bay of one key whose sessions are only remembered. What a tool
// does is the test's to say.
type memBay struct {
	memContexts

	call   func(ctx context.Context, c tool.Call) (*tool.Reply, error)
	stream func(ctx context.Context, c tool.Call, yield func([]byte) error) error

	noLink bool // of sessions that are made

	help     chan agentbay.Help // what people are asked for; may be nil
	answered chan string        // what of it was answered; may be nil

	mu       sync.Mutex
	sessions map[agentbay.SessionID]*agentbay.SessionInfo // guarded by mu
	spec     agentbay.SessionSpec                         // the last; guarded by mu
	query    agentbay.SessionQuery                        // the last; guarded by mu
	args     []tool.Call                                  // guarded by mu
}

var (
	_ Bay              = (*memBay)(nil)
	_ agentbay.Service = (*memBay)(nil)
)

func newMemBay() *memBay {
	return &memBay{sessions: map[agentbay.SessionID]*agentbay.SessionInfo{
		testID: running(testID),
	}}
}

func running(id agentbay.SessionID) *agentbay.SessionInfo {
	return &agentbay.SessionInfo{
		ID: id, Image: "code_latest", State: agentbay.Running, Token: testToken,
		Labels: map[string]string{"k": "<v 1>"},
	}
}

func (b *memBay) Key(_ context.Context, key string) (agentbay.Service, error) {
	if key != testKey && !b.anyID {
		return nil, agentbay.Errorf(agentbay.Denied, "that is no API key of this bay")
	}
	return b, nil
}

func (b *memBay) Token(_ context.Context, id agentbay.SessionID, token string) (agentbay.Service, error) {
	s, err := b.find(id)
	if err != nil {
		return nil, err
	}
	if token != s.Token && !b.anyID {
		return nil, agentbay.Errorf(agentbay.Denied, "that is not the session's token")
	}
	return b, nil
}

func (b *memBay) find(id agentbay.SessionID) (*agentbay.SessionInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.sessions[id]; ok {
		c := *s
		return &c, nil
	}
	if b.anyID && id != "nonexist" {
		return running(id), nil
	}
	return nil, agentbay.Errorf(agentbay.NotFound, "session %s not found", id)
}

// end ends a session.
func (b *memBay) end(id agentbay.SessionID, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions[id].State, b.sessions[id].EndReason = agentbay.Finished, reason
}

func (b *memBay) CreateSession(_ context.Context, spec agentbay.SessionSpec) (*agentbay.SessionInfo, error) {
	b.mu.Lock()
	b.spec = spec
	b.mu.Unlock()
	switch spec.Image {
	case "windows_latest", "mobile_latest":
		return nil, agentbay.Errorf(agentbay.Invalid, "no authorized app: image %s is not offered by this bay", spec.Image)
	case "full":
		return nil, agentbay.Errorf(agentbay.Exhausted, "the host is full")
	case "no context":
		return nil, agentbay.Errorf(agentbay.NotFound, "context c not found")
	case "busy path":
		return nil, agentbay.Errorf(agentbay.Conflict, "PathAlreadyBound: /x is another mount's")
	}
	s := running(testID)
	s.NoLink = b.noLink
	if spec.Image != "" {
		s.Image = spec.Image
	}
	return s, nil
}

func (b *memBay) Session(_ context.Context, id agentbay.SessionID) (*agentbay.SessionInfo, error) {
	return b.find(id)
}

func (b *memBay) Sessions(_ context.Context, q agentbay.SessionQuery) (*agentbay.SessionPage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.query = q
	if q.Token == "bad" {
		return nil, agentbay.Errorf(agentbay.Invalid, "that is not a page's token")
	}
	page := &agentbay.SessionPage{Total: len(b.sessions), Next: "next"}
	for _, s := range b.sessions {
		page.Sessions = append(page.Sessions, *s)
	}
	return page, nil
}

func (b *memBay) ViewLink(_ context.Context, id agentbay.SessionID, watchOnly bool) (string, error) {
	_, err := b.find(id)
	return fmt.Sprintf("/view/%s/%t/", id, watchOnly), err
}

func (b *memBay) RevokeViews(_ context.Context, id agentbay.SessionID) error {
	_, err := b.find(id)
	return err
}

func (b *memBay) Control(_ context.Context, id agentbay.SessionID) (*agentbay.Control, error) {
	_, err := b.find(id)
	return &agentbay.Control{Held: true}, err
}

func (b *memBay) RequestHelp(_ context.Context, id agentbay.SessionID, message string) (*agentbay.Help, error) {
	_, err := b.find(id)
	return &agentbay.Help{ID: "help-1", Message: message, State: agentbay.HelpOpen}, err
}

func (b *memBay) AnswerHelp(_ context.Context, id agentbay.SessionID, help, note string) error {
	if _, err := b.find(id); err != nil {
		return err
	}
	if b.answered == nil {
		return agentbay.Errorf(agentbay.NotFound, "no help was asked for as %q", help)
	}
	b.answered <- help + " " + note
	return nil
}

func (b *memBay) WatchHelp(ctx context.Context, _ agentbay.SessionID, yield func(agentbay.Help)) {
	for {
		select {
		case h := <-b.help:
			yield(h)
		case <-ctx.Done():
			return
		}
	}
}

func (b *memBay) BrowserLink(_ context.Context, id agentbay.SessionID) (string, error) {
	s, err := b.find(id)
	if err == nil && s.Image == "code_latest" {
		err = agentbay.Errorf(agentbay.Invalid, "only BrowserUse image support cdp")
	}
	return "/port/" + string(id) + "/9222/tok-x/devtools/browser/1", err
}

func (b *memBay) StartRecording(_ context.Context, id agentbay.SessionID, spec agentbay.RecordingSpec) (*agentbay.Recording, error) {
	_, err := b.find(id)
	return &agentbay.Recording{Name: "recording-1.mp4", URL: "/objects/x/recording-1.mp4", Bytes: spec.MaxBytes}, err
}

func (b *memBay) StopRecording(_ context.Context, id agentbay.SessionID) (*agentbay.Recording, error) {
	_, err := b.find(id)
	return &agentbay.Recording{Name: "recording-1.mp4", URL: "/objects/x/recording-1.mp4", Reason: "stopped"}, err
}

func (b *memBay) Recordings(_ context.Context, id agentbay.SessionID) ([]agentbay.Recording, error) {
	_, err := b.find(id)
	return []agentbay.Recording{{Name: "recording-1.mp4", URL: "/objects/x/recording-1.mp4"}}, err
}

func (b *memBay) SetLabels(_ context.Context, id agentbay.SessionID, labels map[string]string) error {
	if len(labels) > 100 {
		return agentbay.Errorf(agentbay.Invalid, "a session has at most 100 labels")
	}
	_, err := b.find(id)
	return err
}

func (b *memBay) KeepAlive(_ context.Context, id agentbay.SessionID) error {
	_, err := b.find(id)
	return err
}

func (b *memBay) DeleteSession(_ context.Context, id agentbay.SessionID) error {
	_, err := b.find(id)
	return err
}

func (b *memBay) Tools(_ context.Context, image string) ([]tool.Tool, error) {
	if image == "removed" {
		return nil, agentbay.Errorf(agentbay.Invalid, "there is no image %s", image)
	}
	return tool.All(), nil
}

func (b *memBay) CallTool(ctx context.Context, id agentbay.SessionID, c tool.Call) (*tool.Reply, error) {
	if s, err := b.find(id); err != nil || s.State.Ended() {
		return nil, agentbay.Errorf(agentbay.NotFound, "session %s not found", id)
	}
	b.mu.Lock()
	b.args = append(b.args, c)
	b.mu.Unlock()
	if b.call != nil {
		return b.call(ctx, c)
	}
	if c.Name == tool.OpenBrowser.Name {
		return textReply(`{"port":9222,"path":"/devtools/browser/1"}`), nil
	}
	return textReply("done"), nil
}

func (b *memBay) StreamTool(ctx context.Context, id agentbay.SessionID, c tool.Call, yield func([]byte) error) error {
	if _, err := b.find(id); err != nil {
		return err
	}
	if b.stream != nil {
		return b.stream(ctx, c, yield)
	}
	if c.Name == tool.FileChange.Name {
		if err := yield([]byte("[]")); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return yield([]byte(`{"type":"end","end":{"result":[],"stdout":[],"stderr":[],"traceId":"t","execution_time":0.5,"execution_count":1}}`))
}

func (b *memBay) DialPort(context.Context, agentbay.SessionID, uint16) (io.ReadWriteCloser, error) {
	return nil, agentbay.Errorf(agentbay.Unavailable, "no ports")
}

func textReply(text string) *tool.Reply {
	return &tool.Reply{Body: io.NopCloser(strings.NewReader(text))}
}

// A lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server with a door to bay and returns what it logs.
func serve(t *testing.T, bay *memBay) (*httptest.Server, *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	d := &Door{Bay: bay, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	l, err := listener.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: listener.Server(d, slog.New(slog.DiscardHandler))}
	srv.Start()
	t.Cleanup(func() {
		d.Close()
		srv.Close()
	})
	return srv, log
}

// act performs an action of somebody with a key; params are pairs.
func act(t *testing.T, srv *httptest.Server, action string, params ...string) (*http.Response, []byte) {
	t.Helper()
	form := url.Values{"Authorization": {"Bearer " + testKey}}
	for i := 0; i < len(params); i += 2 {
		form.Add(params[i], params[i+1])
	}
	res, err := http.PostForm(srv.URL+"/?Action="+url.QueryEscape(action), form)
	if err != nil {
		t.Fatal(err)
	}
	return res, readAll(t, res)
}

// link calls a tool over a link, with the right token.
func link(t *testing.T, srv *httptest.Server, verb, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest("POST", srv.URL+"/link/"+testID+"/"+verb, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(tokenHeader, testToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res, readAll(t, res)
}

func readAll(t *testing.T, res *http.Response) []byte {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// strict decodes all of b into a T, and nothing that T does not have.
func strict[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}
