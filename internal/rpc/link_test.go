package rpc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/listener"
	"github.com/agentbay/agentbay/tool"
)

func TestLinkCallsATool(t *testing.T) {
	bay := newMemBay()
	srv, log := serve(t, bay)
	_, body := link(t, srv, "callTool", `{"args":{"command":"true"},"server":"wuying_shell","requestId":"link-1","tool":"shell","token":"x","new":1}`)
	got := strict[wireLink](t, body)
	if !got.Success || got.Code != "200" || got.Data.Result.Content[0].Text != "done" || got.Data.Result.IsError {
		t.Errorf("%s", body)
	}
	if c := bay.args[0]; c.Name != "shell" || string(c.Args) != `{"command":"true"}` {
		t.Errorf("called %s with %s", c.Name, c.Args)
	}
	if l := log.String(); !strings.Contains(l, got.RequestID) || !strings.Contains(l, "link-1") || strings.Contains(l, testToken) {
		t.Errorf("the log lacks a request ID, or has the token: %s", l)
	}
}

func TestBytesOfAnEmptyFileAreStillAnAnswer(t *testing.T) {
	bay := newMemBay()
	var text string
	bay.call = func(context.Context, tool.Call) (*tool.Reply, error) { return textReply(text), nil }
	srv, _ := serve(t, bay)
	for _, tc := range []struct{ name, args, text, want string }{
		{"read_file", `{"path":"/f","format":"binary"}`, "", `[{"type":"text","text":"","blob":"\n"}]`},
		{"read_file", `{"path":"/f","format":"binary"}`, "aGk=", `[{"type":"text","text":"aGk="}]`},
		{"read_file", `{"path":"/f","format":"text"}`, "", `[{"type":"text","text":""}]`},
		{"read_file", `{"path":"/f"}`, "", `[{"type":"text","text":""}]`},
		{"shell", `{"format":"binary"}`, "", `[{"type":"text","text":""}]`},
	} {
		text = tc.text
		want := `{"content":` + tc.want + `,"isError":false}`
		if _, body := link(t, srv, "callTool", `{"tool":"`+tc.name+`","args":`+tc.args+`}`); !bytes.Contains(body, []byte(want)) {
			t.Errorf("link, %s %s of %q: %s, want %s", tc.name, tc.args, text, body, want)
		}
		if _, body := act(t, srv, "CallMcpTool", "SessionId", testID, "Name", tc.name, "Args", tc.args); !bytes.Contains(body, []byte(want)) {
			t.Errorf("action, %s %s of %q: %s, want %s", tc.name, tc.args, text, body, want)
		}
	}
}

func TestLinkRefuses(t *testing.T) {
	call := `{"tool":"shell","args":{}}`
	for name, tc := range map[string]struct {
		id, token, body string
		status          int
		code            string
	}{
		"no token":             {testID, "", call, 401, "NOT_LOGIN"},
		"wrong token":          {testID, "tok-wrong", call, 403, "NOT_LOGIN"},
		"wrong token in body":  {testID, "", `{"tool":"shell","token":"tok-wrong"}`, 403, "NOT_LOGIN"},
		"token in body":        {testID, "", `{"tool":"shell","token":"` + testToken + `"}`, 200, "200"},
		"unknown session":      {"session-none", testToken, call, 404, "InvalidMcpSession.NotFound"},
		"ended session":        {"session-over", testToken, call, 410, "InvalidMcpSession.NotFound"},
		"no JSON":              {testID, testToken, `{"tool":`, 400, "InvalidParameter"},
		"two of them":          {testID, testToken, call + call, 400, "InvalidParameter"},
		"a comma too many":     {testID, testToken, `{"tool":"shell",}`, 400, "InvalidParameter"},
		"a list":               {testID, testToken, `[]`, 400, "InvalidParameter"},
		"no tool":              {testID, testToken, `{}`, 400, "InvalidParameter"},
		"arguments are text":   {testID, testToken, `{"tool":"shell","args":"{}"}`, 400, "InvalidParameter"},
		"arguments are null":   {testID, testToken, `{"tool":"shell","args":null}`, 200, "200"},
		"nested without end":   {testID, testToken, `{"tool":"shell","args":` + strings.Repeat(`{"a":`, 100_000), 400, "InvalidParameter"},
		"too long, not proved": {testID, "", `{"tool":"` + strings.Repeat("x", 2<<20) + `"}`, 400, "InvalidParameter"},
		"too long":             {testID, testToken, `{"tool":"` + strings.Repeat("x", 4<<20) + `"}`, 400, "InvalidParameter"},
	} {
		t.Run(name, func(t *testing.T) {
			bay := newMemBay()
			bay.sessions["session-over"] = &agentbay.SessionInfo{ID: "session-over", State: agentbay.Finished, Token: testToken}
			srv, _ := serve(t, bay)
			srv.Config.Handler.(*Door).MaxCall = 3 << 20
			req, _ := http.NewRequest("POST", srv.URL+"/link/"+tc.id+"/callTool", strings.NewReader(tc.body))
			if tc.token != "" {
				req.Header.Set(tokenHeader, tc.token)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, res)
			got := strict[wireLink](t, body)
			if res.StatusCode != tc.status || got.Code != tc.code || got.Success != (tc.status == 200) || !requestIDForm.MatchString(got.RequestID) || !got.Success && got.Message == "" {
				t.Errorf("%d %s, want %d %s", res.StatusCode, body, tc.status, tc.code)
			}
		})
	}
}

// A lazyText is a text of n bytes that takes no memory.
type lazyText struct{ n int }

func (l *lazyText) Read(p []byte) (int, error) {
	if l.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), l.n)
	for i := range p[:n] {
		p[i] = `a"é`[(l.n-i)%4]
	}
	l.n -= n
	return n, nil
}

func TestAnswersStreamWhateverTheirSize(t *testing.T) {
	const n = 64 << 20
	bay := newMemBay()
	bay.call = func(context.Context, tool.Call) (*tool.Reply, error) {
		return &tool.Reply{Body: io.NopCloser(&lazyText{n})}, nil
	}
	srv, _ := serve(t, bay)
	req, _ := http.NewRequest("POST", srv.URL+"/link/"+testID+"/callTool", strings.NewReader(`{"tool":"read_file"}`))
	req.Header.Set(tokenHeader, testToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.Copy(io.Discard, res.Body)
	if err != nil || got < n {
		t.Errorf("%d bytes, error %v; want more than %d", got, err, n)
	}
}

func TestAnswerThatBreaksOffIsNeverTakenForWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		before int
		cut    bool
	}{
		"at once":    {0, false},
		"early":      {100, false},
		"after much": {1 << 20, true},
	} {
		bay := newMemBay()
		bay.call = func(context.Context, tool.Call) (*tool.Reply, error) {
			broken := agentbay.Errorf(agentbay.Unavailable, "the session broke off its answer; try again")
			return &tool.Reply{Body: io.NopCloser(io.MultiReader(&lazyText{tc.before}, failing{broken}))}, nil
		}
		srv, log := serve(t, bay)
		res, err := http.PostForm(srv.URL, map[string][]string{"Action": {"CallMcpTool"}, "Authorization": {testKey}, "SessionId": {testID}, "Name": {"shell"}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if cut := errors.Is(err, io.ErrUnexpectedEOF); cut != tc.cut {
			t.Errorf("%s: error %v after %d bytes, want it cut off: %v", name, err, len(b), tc.cut)
		}
		if !tc.cut {
			if e := checkEnvelope(t, "", res, b); *e.Code != "ServiceUnavailable" || !strings.Contains(*e.Message, "broke off") {
				t.Errorf("%s: %s", name, b)
			}
		}
		if !strings.Contains(log.String(), "broke off") {
			t.Errorf("%s: not in the log: %s", name, log)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestStreamToolSendsEventsAsTheyCome(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	srv, _ := serve(t, bay)
	req, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/link/"+testID+"/streamTool", strings.NewReader(`{"tool":"get_file_change","args":{"path":"/w"}}`))
	req.Header.Set(tokenHeader, testToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	next := func() string {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		return lines.Text()
	}
	if got := next(); got != "[]" || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("first line %s of %s", got, res.Header.Get("Content-Type"))
	}
	feed.batches <- aChange
	if got := next(); got != aChange {
		t.Errorf("event %s, want %s", got, aChange)
	}
	feed.batches <- ""
	var last struct {
		Error struct {
			Code      agentbay.Code
			Message   string
			RequestID string
		}
	}
	if err := json.Unmarshal([]byte(next()), &last); err != nil || last.Error.Code != agentbay.Unavailable || last.Error.Message != "the stream broke off" || last.Error.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("last line %+v, error %v", last, err)
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the last line: %q %v", lines.Text(), lines.Err())
	}
}

func TestStreamThatFailsAtOnceIsRefused(t *testing.T) {
	bay := newMemBay()
	bay.stream = func(context.Context, tool.Call, func([]byte) error) error {
		return agentbay.Errorf(agentbay.Invalid, "tool shell does not stream; call it")
	}
	srv, _ := serve(t, bay)
	res, body := link(t, srv, "streamTool", `{"tool":"shell"}`)
	if got := strict[wireLink](t, body); res.StatusCode != 400 || got.Message != "tool shell does not stream; call it" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestClosingTheConnectionStopsTheTool(t *testing.T) {
	bay := newMemBay()
	started, stopped := make(chan struct{}), make(chan struct{})
	bay.call = func(ctx context.Context, _ tool.Call) (*tool.Reply, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, ctx.Err()
	}
	srv, log := serve(t, bay)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+"/link/"+testID+"/callTool", strings.NewReader(`{"tool":"shell"}`))
	req.Header.Set(tokenHeader, testToken)
	go func() {
		<-started
		cancel()
	}()
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("Do: %v, want to be cancelled", err)
	}
	<-stopped
	srv.Close() // waits for the exchange
	if !strings.Contains(log.String(), `"status":499`) {
		t.Errorf("the log does not say that the client left: %s", log)
	}
}

// A client that has closed its half of the connection still reads an answer.
func TestHalfClosedConnectionIsAnswered(t *testing.T) {
	bay := newMemBay()
	bay.call = func(ctx context.Context, _ tool.Call) (*tool.Reply, error) {
		<-ctx.Done() // a half-closed connection looks like one whose client left
		return nil, ctx.Err()
	}
	srv, _ := serve(t, bay)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /link/"+testID+"/callTool HTTP/1.1\r\nHost: x\r\nX-Access-Token: "+testToken+"\r\nContent-Length: 16\r\n\r\n"+`{"tool":"shell"}`)
	conn.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strict[wireLink](t, readAll(t, res)); res.StatusCode != 499 || got.Message == "" {
		t.Errorf("%d %+v", res.StatusCode, got)
	}
}

// A pipeListener is a listener whose connections are in this process, so that
// time can be fake.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipeListener) Close() error   { return nil }
func (p *pipeListener) Addr() net.Addr { return new(net.TCPAddr) }

// inFakeTime runs test with a connection to a door in a bubble of fake time.
func inFakeTime(t *testing.T, bay *memBay, test func(t *testing.T, d *Door, conn net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		d := &Door{Bay: bay, Log: slog.New(slog.DiscardHandler)}
		l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := listener.Server(d, slog.New(slog.DiscardHandler))
		go srv.Serve(l)
		ours, theirs := net.Pipe()
		l.conns <- theirs
		test(t, d, ours)
		ours.Close()
		close(l.done)
		srv.Close()
		time.Sleep(time.Minute) // the server lingers on connections it closes
	})
}

func TestBodyThatDripsIsGivenUp(t *testing.T) {
	inFakeTime(t, newMemBay(), func(t *testing.T, d *Door, conn net.Conn) {
		began := time.Now()
		go func() {
			io.WriteString(conn, "POST /?Action=ListSession HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
			for {
				if _, err := io.WriteString(conn, "a"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if e := checkEnvelope(t, "", res, readAll(t, res)); !strings.Contains(*e.Message, "too slowly") {
			t.Errorf("%s", *e.Message)
		}
		if took := time.Since(began); took > 2*patience {
			t.Errorf("given up after %v", took)
		}
		if held := d.held.used.Load(); held != 0 {
			t.Errorf("%d bytes are still held", held)
		}
	})
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	bay := newMemBay()
	bay.call = func(context.Context, tool.Call) (*tool.Reply, error) {
		return &tool.Reply{Body: io.NopCloser(&lazyText{10 << 20})}, nil
	}
	inFakeTime(t, bay, func(t *testing.T, _ *Door, conn net.Conn) {
		io.WriteString(conn, "POST /link/"+testID+"/callTool HTTP/1.1\r\nHost: x\r\nX-Access-Token: "+testToken+"\r\nContent-Length: 16\r\n\r\n"+`{"tool":"shell"}`)
		time.Sleep(2 * stall)
		if n, err := io.Copy(io.Discard, conn); n > 1<<20 {
			t.Errorf("%d bytes and %v after the time to read was over", n, err)
		}
	})
}

func TestToolMayTakeItsTime(t *testing.T) {
	bay := newMemBay()
	bay.call = func(ctx context.Context, _ tool.Call) (*tool.Reply, error) {
		select {
		case <-time.After(time.Hour):
			return textReply("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	inFakeTime(t, bay, func(t *testing.T, _ *Door, conn net.Conn) {
		for range 2 { // on one connection
			io.WriteString(conn, "POST /link/"+testID+"/callTool HTTP/1.1\r\nHost: x\r\nX-Access-Token: "+testToken+"\r\nContent-Length: 16\r\n\r\n"+`{"tool":"shell"}`)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strict[wireLink](t, readAll(t, res)); !got.Success {
				t.Errorf("%+v", got)
			}
		}
	})
}

// FuzzEscaper checks text, cut into pieces, against the standard library.
func FuzzEscaper(f *testing.F) {
	f.Add([]byte("plain"), uint8(2))
	f.Add([]byte("\"\\\n\r\t\x00\x1f\x7f<>&\u2028"), uint8(1))
	f.Add([]byte("é世😀\xff\xc3(\xe4\xb8"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var esc escaper
		out := []byte(`"`)
		for rest := b; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			out = esc.append(out, rest[:n])
			rest = rest[n:]
		}
		out = append(esc.close(out), '"')
		var got string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q: %s: %v", b, out, err)
		}
		if want := strings.Join(strings.Split(string([]rune(string(b))), ""), ""); got != want || !utf8.Valid(out) {
			t.Errorf("%q: %q, want %q", b, got, want)
		}
	})
}

// FuzzLinkCall checks that whatever is JSON is understood as the standard library
// understands it.
func FuzzLinkCall(f *testing.F) {
	f.Add([]byte(`{"tool":"shell","args":{"a":1},"requestId":"r","token":"t"}`))
	f.Add([]byte(` { "tool" : "a\\\"" , "x" : [ {"}":"]\\"} , -1.5e3 , null ] , "args" : null } `))
	f.Add([]byte(`{"tool":"shell","args":{"a":"\\\\"},"n":1,"t":true}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"tool":"a",}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseCall(b)
		if err != nil && agentbay.CodeOf(err) != agentbay.Invalid {
			t.Errorf("%s: %v, want Invalid", b, err)
		}
		if err == nil && (in.Tool == "" || in.Args != nil && !bytes.HasPrefix(in.Args, []byte("{"))) {
			t.Errorf("%s: %+v", b, in)
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil || members == nil {
			return
		}
		found := map[string]json.RawMessage{}
		err = eachMember(b, func(name string, value []byte) error {
			found[name] = value
			return nil
		})
		if err != nil || !maps.EqualFunc(found, members, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("%s: %q, %v; want %q", b, found, err, members)
		}
	})
}

func BenchmarkEscape(b *testing.B) {
	text := bytes.Repeat([]byte("some text, as files have it, with a \"quote\" and an é\n"), 600)
	out := make([]byte, 0, 4*len(text))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var esc escaper
		out = esc.append(out[:0], text)
	}
}

func BenchmarkLinkCall(b *testing.B) {
	d := &Door{Bay: newMemBay(), Log: slog.New(slog.DiscardHandler)}
	l, err := listener.Listen("127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	srv := listener.Server(d, slog.New(slog.DiscardHandler))
	go srv.Serve(l)
	defer srv.Close()
	for b.Loop() {
		req, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/link/"+testID+"/callTool", strings.NewReader(`{"tool":"shell","args":{"command":"true"}}`))
		req.Header.Set(tokenHeader, testToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}
