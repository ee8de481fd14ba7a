package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// A testSocket is a client's end of a WebSocket.
type testSocket struct {
	*websocket.Conn
	t *testing.T
}

// A gotFrame is a frame as clients decode it.
type gotFrame struct {
	ID     string `json:"invocationId"`
	Source string
	Target string
	Data   struct {
		Phase     string
		Seq       int
		EventType string
		Chunk     string
		Result    map[string]any
		Error     any
		Count     int     `json:"executionCount"`
		Took      float64 `json:"executionTime"`
		Failed    any     `json:"executionError"`
		Status    string
		Path      string
		Events    []tool.FileEvent
	}
}

func socketURL(srv *httptest.Server) string {
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/ws/" + testID
}

func dial(t *testing.T, srv *httptest.Server) *testSocket {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), socketURL(srv), &websocket.DialOptions{
		HTTPHeader:      http.Header{tokenHeader: {testToken}, "Origin": {"http://localhost/"}},
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20) // as some clients have it
	t.Cleanup(func() { conn.CloseNow() })
	return &testSocket{conn, t}
}

func (s *testSocket) write(frame string) {
	s.t.Helper()
	if err := s.Write(s.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testSocket) read() (f gotFrame) {
	s.t.Helper()
	kind, b, err := s.Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if kind != websocket.MessageText {
		s.t.Fatalf("a frame of kind %v", kind)
	}
	if err := json.Unmarshal(b, &f); err != nil || f.ID == "" || f.Target == "" {
		s.t.Fatalf("%s: %v", b, err)
	}
	return f
}

func invoke(id, target, method, params string) string {
	return fmt.Sprintf(`{"invocationId":%q,"source":"SDK","target":%q,"data":{"method":%q,"params":%s}}`, id, target, method, params)
}

const runFrame = `{"invocationId":"i1","source":"SDK","target":"wuying_codespace","data":{"method":"run_code","mode":"stream","params":{"language":"python","timeoutS":7.5,"code":"x"}}}`

// yielding is a stream of the given events.
func yielding(events ...string) func(context.Context, tool.Call, func([]byte) error) error {
	return func(_ context.Context, _ tool.Call, yield func([]byte) error) error {
		for _, e := range events {
			if err := yield([]byte(e)); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestRunCodeStreams(t *testing.T) {
	bay := newMemBay()
	var got tool.Call
	events := yielding(
		`{"type":"stdout","chunk":"a\n"}`,
		`{"type":"stderr","chunk":"b"}`,
		`{"type":"result","result":{"isMainResult":true,"text/plain":"2"}}`,
		`{"type":"end","end":{"result":[],"stdout":[],"stderr":[],"traceId":"t","execution_time":0.5,"execution_count":3}}`)
	bay.stream = func(ctx context.Context, c tool.Call, yield func([]byte) error) error {
		got = c
		return events(ctx, c, yield)
	}
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(runFrame)
	for i, check := range []func(f gotFrame) bool{
		func(f gotFrame) bool { return f.Data.EventType == "stdout" && f.Data.Chunk == "a\n" },
		func(f gotFrame) bool { return f.Data.EventType == "stderr" && f.Data.Chunk == "b" },
		func(f gotFrame) bool {
			mime, _ := f.Data.Result["mime"].(map[string]any)
			return f.Data.EventType == "result" && f.Data.Result["isMainResult"] == true && f.Data.Result["text/plain"] == "2" &&
				mime["text/plain"] == "2" && mime["isMainResult"] == nil
		},
		func(f gotFrame) bool {
			return f.Data.Phase == "end" && f.Data.Count == 3 && f.Data.Took == 0.5 && f.Data.Failed == nil && f.Data.Status == "finished"
		},
	} {
		f := s.read()
		if !check(f) || f.ID != "i1" || f.Source != "wuying_codespace" || f.Target != "SDK" || f.Data.Seq != i+1 || f.Data.Phase != "end" && f.Data.Phase != "event" {
			t.Errorf("frame %d: %+v", i+1, f)
		}
	}
	if want := `{"code":"x","language":"python","timeout_s":7.5}`; got.Name != "run_code" || string(got.Args) != want {
		t.Errorf("called %s with %s, want run_code with %s", got.Name, got.Args, want)
	}
}

func TestFailedRunTellsItsErrorOnce(t *testing.T) {
	end := `{"type":"end","end":{"result":[],"stdout":[],"stderr":[],"traceId":"t","executionError":"ZeroDivisionError: division by zero","errorName":"ZeroDivisionError","execution_time":0.5,"execution_count":3}}`
	for name, events := range map[string][]string{
		"at the end":       {end},
		"before its end":   {`{"type":"error","chunk":"division by zero"}`, end},
		"with its details": {strings.Replace(end, `"type":"end"`, `"type":"error"`, 1), end},
	} {
		bay := newMemBay()
		bay.stream = yielding(events...)
		srv, _ := serve(t, bay)
		s := dial(t, srv)
		s.write(runFrame)
		e := s.read()
		detail, _ := e.Data.Error.(map[string]any)
		if e.Data.EventType != "error" || e.Data.Phase != "event" || !strings.Contains(fmt.Sprint(detail["message"]), "division by zero") {
			t.Errorf("%s: %+v, want an error event", name, e)
		}
		if f := s.read(); f.Data.Phase != "end" || f.Data.Status != "failed" || f.Data.Failed != "ZeroDivisionError: division by zero" {
			t.Errorf("%s: %+v, want a failed end", name, f)
		}
	}
}

func TestRunThatBreaksOffFails(t *testing.T) {
	for name, stream := range map[string]func(context.Context, tool.Call, func([]byte) error) error{
		"without an end": yielding(`{"type":"stdout","chunk":"a"}`),
		"with an error": func(_ context.Context, _ tool.Call, yield func([]byte) error) error {
			if err := yield([]byte(`{"type":"stdout","chunk":"a"}`)); err != nil {
				return err
			}
			return agentbay.Errorf(agentbay.NotFound, "session not found: it broke off")
		},
		"with nonsense": yielding(`{"type":"stdout","chunk":"a"}`, `?`),
	} {
		bay := newMemBay()
		bay.stream = stream
		srv, _ := serve(t, bay)
		s := dial(t, srv)
		s.write(runFrame)
		s.read()
		f := s.read()
		if text, ok := f.Data.Error.(string); f.Source != hub || f.ID != "i1" || !ok || text == "" {
			t.Errorf("%s: %+v, want a failure from %s", name, f, hub)
		}
	}
}

func TestFramesStayBelowAMebibyte(t *testing.T) {
	image, text := strings.Repeat("A", 700_000), strings.Repeat("é\x00", 300_000)
	b, _ := json.Marshal(tool.CodeEvent{Type: "stdout", Chunk: text})
	r, _ := json.Marshal(tool.CodeEvent{Type: "result", Result: map[string]any{"isMainResult": true, "image/png": image}})
	small, _ := json.Marshal(tool.CodeEvent{Type: "result", Result: map[string]any{"image/png": image[:500_000], "text/plain": "<Figure>"}})
	bay := newMemBay()
	bay.stream = yielding(string(b), string(r), string(small), `{"type":"end","end":{}}`)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(runFrame)
	var got string
	var results []map[string]any
	for {
		f := s.read() // fails on a larger frame
		if f.Data.Phase == "end" {
			break
		}
		got += f.Data.Chunk
		if f.Data.Result != nil {
			results = append(results, f.Data.Result)
		}
	}
	if got != text {
		t.Errorf("%d bytes of output, want %d", len(got), len(text))
	}
	if len(results) != 2 {
		t.Fatalf("%d results, want 2", len(results))
	}
	if note := fmt.Sprint(results[0]["text/plain"]); results[0]["image/png"] != nil || !strings.Contains(note, "image/png") || !strings.Contains(note, "too large") {
		t.Errorf("a result too large: %.200v", results[0])
	}
	if results[1]["image/png"] != image[:500_000] || results[1]["text/plain"] != "<Figure>" {
		t.Errorf("a result that fits: %.200v", results[1])
	}
}

func TestNoiseIsIgnoredAndNonsenseRefused(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	s := dial(t, srv)
	for _, noise := range []string{`{"type":"ping"}`, `nonsense`, `[]`, `{"invocationId":7}`, `{"data":{"method":"run_code"}}`, ``} {
		s.write(noise)
	}
	for _, tc := range []struct{ target, method, params, says string }{
		{"wuying_mobile_agent", "exec_task", "{}", "wuying_mobile_agent"},
		{"wuying_filesystem", "run_code", "{}", "run_code"},
		{"wuying_codespace", "explode", "{}", "explode"},
		{"wuying_codespace", "run_code", `{"timeoutS":"x"}`, "string instead of number"},
		{"wuying_codespace", "run_code", `7`, "number instead of object"},
		{"wuying_filesystem", "subscribe_file_change", `{}`, "path"},
		{"wuying_filesystem", "unsubscribe_file_change", `[]`, "path"},
	} {
		s.write(invoke("i9", tc.target, tc.method, tc.params))
		f := s.read()
		if text, _ := f.Data.Error.(string); f.ID != "i9" || f.Source != hub || !strings.Contains(text, tc.says) {
			t.Errorf("%s %s %s: %+v, want a failure with %q", tc.target, tc.method, tc.params, f, tc.says)
		}
	}
}

// A fileFeed is a stream of file changes that a test feeds.
type fileFeed struct {
	batches chan string
	began   chan string   // the arguments of each stream
	ended   chan struct{} // once for each stream
	first   string        // said at once; nothing if empty
}

func (f *fileFeed) stream(ctx context.Context, c tool.Call, yield func([]byte) error) error {
	f.began <- string(c.Args)
	defer func() { f.ended <- struct{}{} }()
	if f.first != "" {
		if err := yield([]byte(f.first)); err != nil {
			return err
		}
	}
	for {
		select {
		case b := <-f.batches:
			if b == "" {
				return agentbay.Errorf(agentbay.Unavailable, "the stream broke off")
			}
			if err := yield([]byte(b)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newFileFeed(bay *memBay) *fileFeed {
	f := &fileFeed{batches: make(chan string), began: make(chan string, 9), ended: make(chan struct{}, 9), first: "[]"}
	bay.stream = f.stream
	return f
}

const aChange = `[{"eventType":"create","path":"/tmp/w/a","pathType":"file"}]`

func TestFileChangesArePushedWhileSubscribed(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(invoke("i1", "wuying_filesystem", "subscribe_file_change", `{"path":"/tmp/w/"}`))
	if f := s.read(); f.ID != "i1" || f.Source != "wuying_filesystem" || f.Data.Phase != "end" {
		t.Fatalf("subscribe: %+v, want its end", f)
	}
	if args := <-feed.began; args != `{"path":"/tmp/w/"}` {
		t.Errorf("streamed with %s", args)
	}
	feed.batches <- aChange
	f := s.read()
	if f.ID == "i1" || f.Source != "wuying_filesystem" || f.Target != "SDK" || f.Data.EventType != "file_change" || f.Data.Path != "/tmp/w/" ||
		len(f.Data.Events) != 1 || f.Data.Events[0] != (tool.FileEvent{EventType: "create", Path: "/tmp/w/a", PathType: "file"}) {
		t.Errorf("push: %+v", f)
	}
	s.write(invoke("i2", "wuying_filesystem", "unsubscribe_file_change", `{"path":"/tmp/w/"}`))
	<-feed.ended
}

func TestSubscribingAgainReplacesTheSubscription(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	for i := range 3 {
		id := fmt.Sprint("i", i)
		s.write(invoke(id, "wuying_filesystem", "subscribe_file_change", `{"path":"/w"}`))
		if f := s.read(); f.ID != id || f.Data.Phase != "end" {
			t.Fatalf("subscribe %d: %+v, want its end", i, f)
		}
		<-feed.began
		if i > 0 {
			<-feed.ended // of the one before
		}
	}
	feed.batches <- aChange
	if f := s.read(); len(f.Data.Events) != 1 {
		t.Errorf("push: %+v", f)
	}
}

func TestSubscriptionThatBreaksOffIsRenewed(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(invoke("i1", "wuying_filesystem", "subscribe_file_change", `{"path":"/w"}`))
	s.read()
	<-feed.began
	feed.batches <- ""
	<-feed.ended
	<-feed.began
	feed.batches <- aChange
	if f := s.read(); f.Data.EventType != "file_change" {
		t.Errorf("%+v, want a push", f)
	}
}

func TestSubscriptionThatFailsSaysSo(t *testing.T) {
	bay := newMemBay()
	bay.stream = func(context.Context, tool.Call, func([]byte) error) error {
		return agentbay.Errorf(agentbay.Invalid, "no such directory: /w")
	}
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(invoke("i1", "wuying_filesystem", "subscribe_file_change", `{"path":"/w"}`))
	if f := s.read(); f.Source != hub || f.Data.Error != "no such directory: /w" {
		t.Errorf("%+v, want the failure", f)
	}
}

func TestManyChangesArePushedInFramesThatFit(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(invoke("i1", "wuying_filesystem", "subscribe_file_change", `{"path":"/w"}`))
	s.read()
	const n = 5000
	var changes []tool.FileEvent
	for i := range n {
		changes = append(changes, tool.FileEvent{EventType: "create", Path: fmt.Sprint("/w/", strings.Repeat("x", 1000), i), PathType: "file"})
	}
	b, _ := json.Marshal(changes)
	feed.batches <- string(b)
	got := 0
	for got < n {
		for _, e := range s.read().Data.Events {
			if e != changes[got] {
				t.Fatalf("change %d: %.80v", got, e)
			}
			got++
		}
	}
}

func TestLeavingStopsWhatRuns(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	feed.first = ""
	srv, _ := serve(t, bay)
	for _, leave := range []func(*testSocket){
		func(s *testSocket) { s.Close(websocket.StatusNormalClosure, "") },
		func(s *testSocket) { s.CloseNow() },
	} {
		s := dial(t, srv)
		s.write(runFrame)
		<-feed.began
		leave(s)
		<-feed.ended
	}
}

func TestShutdownTellsWhatRunsAndCloses(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	feed.first = ""
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	s.write(runFrame)
	<-feed.began
	srv.Config.Handler.(*Door).Close()
	if f := s.read(); f.Source != hub || f.ID != "i1" || f.Data.Error != "the server is shutting down" {
		t.Errorf("%+v, want a failure", f)
	}
	_, _, err := s.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("%v, want to be told to go away", err)
	}
	if _, res, err := websocket.Dial(t.Context(), socketURL(srv), &websocket.DialOptions{HTTPHeader: http.Header{tokenHeader: {testToken}}}); err == nil || res.StatusCode != 503 {
		t.Errorf("Dial after Close: %v %v, want 503", res, err)
	}
}

func TestSocketEndsWithItsSession(t *testing.T) {
	bay := newMemBay()
	srv, _ := serve(t, bay)
	srv.Config.Handler.(*Door).look = time.Millisecond
	s := dial(t, srv)
	bay.end(testID, "out of memory")
	_, _, err := s.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || !strings.Contains(closed.Reason, "out of memory") {
		t.Errorf("%v, want to be closed with the reason", err)
	}
}

func TestSocketAsksForTheToken(t *testing.T) {
	bay := newMemBay()
	bay.sessions["session-over"] = &agentbay.SessionInfo{ID: "session-over", State: agentbay.Finished, Token: testToken}
	srv, _ := serve(t, bay)
	base := strings.TrimSuffix(socketURL(srv), testID)
	for _, tc := range []struct {
		id, token string
		status    int
	}{
		{testID, "", 401},
		{testID, "tok-wrong", 403},
		{"session-none", testToken, 404},
		{"session-over", testToken, 410},
	} {
		_, res, err := websocket.Dial(t.Context(), base+tc.id, &websocket.DialOptions{HTTPHeader: http.Header{tokenHeader: {tc.token}}})
		if err == nil || res.StatusCode != tc.status {
			t.Errorf("%s with %q: %v, want %d", tc.id, tc.token, err, tc.status)
		}
	}
	res, err := http.DefaultClient.Do(func() *http.Request {
		req, _ := http.NewRequest("GET", srv.URL+"/ws/"+testID, nil)
		req.Header.Set(tokenHeader, testToken)
		return req
	}())
	if err != nil || res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("not a handshake: %v %v, want 426", res, err)
	}
	res.Body.Close()
}

func TestSocketsAndInvocationsAreBounded(t *testing.T) {
	bay := newMemBay()
	feed := newFileFeed(bay)
	feed.first = ""
	feed.began, feed.ended = make(chan string, maxStreams), make(chan struct{}, maxStreams)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	for i := range maxStreams {
		s.write(strings.Replace(runFrame, "i1", fmt.Sprint("i", i), 1))
		<-feed.began
	}
	s.write(strings.Replace(runFrame, "i1", "more", 1))
	for {
		f := s.read()
		if text, _ := f.Data.Error.(string); f.ID == "more" && strings.Contains(text, "invocations are running") {
			break
		} else if f.ID == "more" {
			t.Fatalf("%+v, want a refusal", f)
		}
	}
	for range maxSockets - 1 {
		dial(t, srv)
	}
	_, res, err := websocket.Dial(t.Context(), socketURL(srv), &websocket.DialOptions{HTTPHeader: http.Header{tokenHeader: {testToken}}})
	if err == nil || res.StatusCode != 429 {
		t.Errorf("socket %d: %v, want 429", maxSockets+1, err)
	}
}

func TestPingIsAnswered(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	s := dial(t, srv)
	reading := s.CloseRead(t.Context())
	ctx, cancel := context.WithTimeout(reading, time.Minute)
	defer cancel()
	if err := s.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// FuzzFrame sends any frame; whatever it is, the next is understood.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(runFrame))
	f.Add([]byte(`{"type":"ping"}`))
	f.Add([]byte(invoke("i", "wuying_filesystem", "subscribe_file_change", `{"path":"/w"}`)))
	f.Add([]byte(`{"invocationId":"i","data":"x"}`))
	bay := newMemBay()
	d := &Door{Bay: bay, Log: slog.New(slog.DiscardHandler)}
	srv := httptest.NewServer(d)
	f.Cleanup(func() { d.Close(); srv.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		s := dial(t, srv)
		s.write(string(b))
		s.write(invoke("last", "nobody", "nothing", "{}"))
		for s.read().ID != "last" {
		}
		s.CloseNow()
	})
}

func FuzzCodeEvent(f *testing.F) {
	f.Add([]byte(`{"type":"result","result":{"isMainResult":1,"text/plain":"x","mime":null}}`), false)
	f.Add([]byte(`{"type":"end"}`), true)
	f.Add([]byte(`{"type":"stdout","chunk":"\u0000"}`), false)
	f.Fuzz(func(t *testing.T, b []byte, told bool) {
		var e tool.CodeEvent
		if json.Unmarshal(b, &e) != nil {
			return
		}
		for _, out := range eventsOf(e, told) {
			if n := len(encode(out)); n > maxFrameOut {
				t.Errorf("%.100s: a frame of %d bytes", b, n)
			}
		}
	})
}

func TestCallsForAPersonArePushedAndAnswered(t *testing.T) {
	bay := newMemBay()
	bay.help, bay.answered = make(chan agentbay.Help), make(chan string, 1)
	srv, _ := serve(t, bay)
	s := dial(t, srv)
	seen := map[string]bool{}
	for _, x := range []struct {
		help agentbay.Help
		want string
	}{
		{agentbay.Help{ID: "help-7", Kind: agentbay.HelpLogin, Message: "log in", State: agentbay.HelpOpen, Wait: 90 * time.Second},
			`{"type":"call-for-user","id":7,"code":102,"message":"log in","action":"takeover","extraParams":{"max_wait_time":90}}`},
		{agentbay.Help{ID: "help-7", Kind: agentbay.HelpLogin, Message: "log in", State: agentbay.HelpDone},
			`{"type":"call-for-user","id":7,"code":199,"message":"user handle done","action":"takeoverdone","extraParams":{}}`},
		{agentbay.Help{ID: "help-8", Kind: agentbay.HelpPayment, Message: "pay", State: agentbay.HelpTaken},
			`{"type":"call-for-user","id":8,"code":103,"message":"pay","action":"takeover","extraParams":{}}`},
		{agentbay.Help{ID: "help-9", Message: "look", State: agentbay.HelpOpen},
			`{"type":"call-for-user","id":9,"code":101,"message":"look","action":"takeover","extraParams":{}}`},
	} {
		bay.help <- x.help
		_, b, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var f frame
		if err := json.Unmarshal(b, &f); err != nil || f.ID == "" || seen[f.ID] || f.Source != "wuying_cdp_mcp_server" || f.Target != "wuying_cdp_mcp_server" || string(f.Data) != x.want {
			t.Errorf("%+v is told as %s (%v), want the data %s", x.help, b, err, x.want)
		}
		seen[f.ID] = true
	}
	const said = `{"invocationId":"n1","source":"SDK","target":"wuying_cdp_mcp_server","data":{"type":"call-for-user","id":7,"code":199,"message":"user handle done","action":"takeoverdone","extraParams":{}}}`
	s.write(strings.Replace(said, `"takeoverdone"`, `"none"`, 1)) // is no answer
	s.write(said)
	if got := <-bay.answered; got != "help-7 " {
		t.Errorf("answered: %q", got)
	}
	s.write(invoke("i1", "wuying_cdp_mcp_server", "nonesuch", "{}")) // the socket goes on
	if f := s.read(); f.ID != "i1" || f.Data.Error == nil {
		t.Errorf("the next answer is %+v", f)
	}
}
