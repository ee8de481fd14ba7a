package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/proxy"
)

// A linked is a server in a session and the link to its port.
type linked struct {
	proxy   *proxy.Door
	door    *httptest.Server
	session *agentbay.SessionInfo
	port    uint16
}

// link starts what serves a port of a session, and a door in front of it.
func link(t *testing.T, serve http.HandlerFunc) linked {
	t.Helper()
	inside := httptest.NewServer(serve)
	t.Cleanup(inside.Close)
	b := baytest.New(t)
	s, err := b.Service(t, "me").CreateSession(t.Context(), agentbay.SessionSpec{})
	if err != nil {
		t.Fatal(err)
	}
	ports := &proxy.Door{Bay: b, Log: slog.New(slog.DiscardHandler)}
	door := httptest.NewServer(ports)
	t.Cleanup(door.Close)
	return linked{ports, door, s, portOf(t, inside.URL)}
}

func portOf(t *testing.T, link string) uint16 {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

// url is the link with a token, or with the right one if it is empty.
func (l linked) url(token string) string {
	if token == "" {
		token = gate.PortToken(l.session.Token, l.port)
	}
	return l.door.URL + gate.PortPath(string(l.session.ID), l.port, token)
}

func get(t *testing.T, link string) (status int, body string) {
	t.Helper()
	answer, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestRequestsArriveAsTheyWereSent(t *testing.T) {
	l := link(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s at %s", r.Method, r.RequestURI, r.Host)
	})
	for sent, want := range map[string]string{"": "/", "a/b%2Fc?x=1&y=%20": "/a/b%2Fc?x=1&y=%20", "/double//": "//double//"} {
		status, body := get(t, l.url("")+sent)
		if want := fmt.Sprintf("GET %s at localhost:%d", want, l.port); status != http.StatusTeapot || body != want {
			t.Errorf("%q: %d %q, want 418 %q", sent, status, body, want)
		}
	}
}

// An event arrives while the answer goes on.
func TestAnswersAreNotHeldBack(t *testing.T) {
	next := make(chan struct{})
	l := link(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one\n")
		http.NewResponseController(w).Flush()
		<-next
		io.WriteString(w, "two\n")
	})
	answer, err := http.Get(l.url(""))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b := make([]byte, 4)
	if _, err := io.ReadFull(answer.Body, b); err != nil || string(b) != "one\n" {
		t.Errorf("first: %q, %v", b, err)
	}
	close(next)
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "two\n" {
		t.Errorf("rest: %q, %v", rest, err)
	}
}

func TestWebSocketsPass(t *testing.T) {
	l := link(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		if kind, msg, err := c.Read(r.Context()); err == nil {
			c.Write(r.Context(), kind, append([]byte("echo "), msg...))
		}
	})
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(l.url(""), "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, msg, err := c.Read(t.Context()); err != nil || string(msg) != "echo hello" {
		t.Errorf("answer: %q, %v", msg, err)
	}
}

func TestOnlyTheRightTokenOpensALink(t *testing.T) {
	l := link(t, func(http.ResponseWriter, *http.Request) { t.Error("a request got through") })
	for name, token := range map[string]string{
		"wrong":             "tok-wrong",
		"of the session":    l.session.Token,
		"of another port":   gate.PortToken(l.session.Token, l.port+1),
		"of no such secret": gate.PortToken("", l.port),
	} {
		if status, body := get(t, l.url(token)); status != http.StatusForbidden {
			t.Errorf("token %s: %d %q, want 403", name, status, body)
		}
	}
	if status, _ := get(t, l.door.URL+"/port/session-none/30100/tok-x/"); status != http.StatusNotFound {
		t.Errorf("unknown session: %d, want 404", status)
	}
	if status, _ := get(t, l.door.URL+"/port/x"); status != http.StatusNotFound {
		t.Errorf("half a link: %d, want 404", status)
	}
}

func TestAPortWhereNothingListensIsABadGateway(t *testing.T) {
	l := link(t, nil)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.port = uint16(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	if status, body := get(t, l.url("")); status != http.StatusBadGateway || !strings.Contains(body, strconv.Itoa(int(l.port))) {
		t.Errorf("%d %q, want 502 and the port", status, body)
	}
}
