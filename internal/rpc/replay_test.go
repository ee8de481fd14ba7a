package rpc

import (
	"bufio"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/listener"
)

// An anyKey lets everybody in with one key.
type anyKey struct {
	Bay
	service agentbay.Service
}

func (a anyKey) Key(context.Context, string) (agentbay.Service, error) { return a.service, nil }

var (
	capturedSession = regexp.MustCompile(`session-000[0-9]`)
	capturedContext = regexp.MustCompile(`SdkCtx-1|\bc1\b`)
)

// replay puts IDs of this bay in the place of those that were captured: a
// request finds a session and a context that nobody has used.
func (c capture) replay(t *testing.T, s agentbay.Service) capture {
	t.Helper()
	session, err := s.CreateSession(t.Context(), agentbay.SessionSpec{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := s.CreateContext(t.Context(), rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := s.TransferContext(t.Context(), session.ID)
	if err != nil {
		t.Fatal(err)
	}
	change := func(text string) string {
		text = capturedSession.ReplaceAllString(text, string(session.ID))
		text = capturedContext.ReplaceAllString(text, string(x.ID))
		return strings.ReplaceAll(text, "ctx-internal", string(hidden.Context))
	}
	c.Target, c.Body = change(c.Target), change(c.Body)
	c.Headers = slices.Clone(c.Headers)
	for i, h := range c.Headers {
		if strings.EqualFold(h[0], "Content-Length") {
			c.Headers[i][1] = strconv.Itoa(len(c.Body))
		}
	}
	return c
}

// Every request about contexts that SDKs were seen to send does what it is for.
func TestCapturedRequestsAboutContextsAreServed(t *testing.T) {
	served := map[string]bool{}
	for _, sdk := range []string{"python", "typescript", "go", "java"} {
		service, addr := serveBay(t)
		for i, c := range captures[capture](t, sdk+".jsonl") {
			p, err := parseParams(strings.TrimPrefix(c.Target, "/?"), c.Body)
			if err != nil || c.Kind != "rpc" || !strings.Contains(p.get("Action"), "Context") {
				continue
			}
			e := c.replay(t, service).ask(t, addr, p.get("Action"))
			if want := servedWith(p); *e.Code != want {
				t.Errorf("%s, line %d: %s %v\nis answered %s, %s\nwant %s", sdk, i+1, p.get("Action"), p.Values, *e.Code, *e.Message, want)
			}
			served[p.get("Action")] = true
		}
	}
	for _, name := range everyAction {
		if strings.Contains(name, "Context") && !served[name] {
			t.Errorf("no %s was captured", name)
		}
	}
}

// serveBay starts a server in front of a whole bay, and returns the service of
// everybody who asks it.
func serveBay(t *testing.T) (s agentbay.Service, addr string) {
	t.Helper()
	b := baytest.New(t)
	s = b.Service(t, "mine")
	quiet := slog.New(slog.DiscardHandler)
	l, err := listener.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: listener.Server(&Door{Bay: anyKey{b, s}, Log: quiet}, quiet)}
	srv.Start()
	t.Cleanup(srv.Close)
	return s, l.Addr().String()
}

// ask sends the request and reads its answer.
func (c capture) ask(t *testing.T, addr, action string) wireEnvelope {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := c.send(conn); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.Method})
	if err != nil {
		t.Fatal(err)
	}
	return checkEnvelope(t, action, res, readAll(t, res))
}

// servedWith is the code of a request in a bay that has the context it names,
// without files.
func servedWith(p params) string {
	switch action := p.get("Action"); {
	case p.get("SessionId") == "nonexist":
		return "InvalidMcpSession.NotFound"
	case action == "GetContext" && p.get("AllowCreate") != "" && p.get("ContextId")+p.get("Name") == "":
		return "InvalidParameter"
	case action == "GetContext" && p.get("Name") == "nope":
		return "ContextNotFound"
	case action == "GetContextFileDownloadUrl", action == "DeleteContextFile":
		return "NotFound"
	}
	return codeOK
}
