package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// line joins a Client to a Mux over loopback.
func line(t testing.TB, m *Mux) *Client {
	t.Helper()
	m.Token = "secret"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	c := clientOf(l.Addr().String())
	t.Cleanup(func() {
		c.CloseIdle()
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

func clientOf(addr string) *Client {
	var d net.Dialer
	return &Client{
		Token: "secret",
		Dial:  func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) },
	}
}

// readFile is a call of read_file.
func readFile(path string) tool.Call {
	call, err := tool.ReadFile.Call(tool.ReadFileIn{Path: path})
	if err != nil {
		panic(err)
	}
	return call
}

func TestAnswersArriveAsTheyWereGiven(t *testing.T) {
	big := strings.Repeat("日本 <&> \x00\n", 500_000)
	for name, tc := range map[string]struct {
		answer Answer
		err    error
		want   tool.Result
	}{
		"empty":       {want: tool.Result{}},
		"text":        {answer: Text("héllo\x00"), want: tool.Result{Text: "héllo\x00"}},
		"failed text": {answer: Text("no").AsFailure(), want: tool.Result{Text: "no", Failed: true}},
		"json":        {answer: JSON(map[string]string{"a": "<&>"}), want: tool.Result{Text: `{"a":"<&>"}`}},
		"error":       {err: errors.New("it broke"), want: tool.Result{Text: "it broke", Failed: true}},
		"not UTF-8":   {answer: Text("a\xff\xc3b"), want: tool.Result{Text: "a\uFFFD\uFFFDb"}},
		"large":       {answer: Text(big), want: tool.Result{Text: big}},
	} {
		t.Run(name, func(t *testing.T) {
			m := new(Mux)
			Handle(m, tool.ReadFile, func(context.Context, tool.ReadFileIn) (Answer, error) { return tc.answer, tc.err })
			reply, err := line(t, m).Call(t.Context(), readFile("/x"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := reply.Result(1 << 30); err != nil || got != tc.want {
				t.Errorf("got %.40q, failed %v, %v; want %.40q, failed %v", got.Text, got.Failed, err, tc.want.Text, tc.want.Failed)
			}
		})
	}
}

func TestRefusalsHaveTheirCode(t *testing.T) {
	m := new(Mux)
	Handle(m, tool.ReadFile, func(context.Context, tool.ReadFileIn) (Answer, error) { return Answer{}, nil })
	c := line(t, m)
	stranger := &Client{Dial: c.Dial, Token: "guess"}
	nobody := &Client{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }}
	gone := &Client{Dial: func(context.Context) (net.Conn, error) { return nil, agentbay.Errorf(agentbay.NotFound, "ended") }}
	for name, tc := range map[string]struct {
		client *Client
		call   tool.Call
		want   agentbay.Code
	}{
		"unknown tool":      {c, tool.Call{Name: "fly"}, agentbay.NotFound},
		"name with a slash": {c, tool.Call{Name: "../health"}, agentbay.NotFound},
		"empty name":        {c, tool.Call{}, agentbay.NotFound},
		"not JSON":          {c, tool.Call{Name: "read_file", Args: json.RawMessage(`{"path":`)}, agentbay.Invalid},
		"wrong type":        {c, tool.Call{Name: "read_file", Args: json.RawMessage(`{"path":7}`)}, agentbay.Invalid},
		"wrong secret":      {stranger, readFile("/"), agentbay.Internal},
		"nobody there":      {nobody, readFile("/"), agentbay.Unavailable},
		"machine has ended": {gone, readFile("/"), agentbay.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tc.client.Call(t.Context(), tc.call); !errors.Is(err, tc.want) {
				t.Errorf("Call: %v, want %s", err, tc.want)
			}
		})
	}
	if err := c.Health(t.Context()); err != nil {
		t.Errorf("Health: %v", err)
	}
	if err := stranger.Health(t.Context()); err == nil {
		t.Error("Health with a wrong secret succeeded")
	}
}

func TestAnAnswerThatBreaksOffIsAnError(t *testing.T) {
	m := new(Mux)
	Handle(m, tool.ReadFile, func(context.Context, tool.ReadFileIn) (Answer, error) {
		return Stream(func(w io.Writer) error {
			io.WriteString(w, strings.Repeat("x", 100_000))
			return errors.New("disk failed")
		}), nil
	})
	reply, err := line(t, m).Call(t.Context(), readFile("/"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := reply.Result(1 << 20); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Result: %d bytes, %v; want Unavailable", len(r.Text), err)
	}
}

func TestClosingTheBodyOrTheContextStopsTheTool(t *testing.T) {
	for _, how := range []string{"close", "context"} {
		t.Run(how, func(t *testing.T) {
			stopped := make(chan struct{})
			m := new(Mux)
			Handle(m, tool.ReadFile, func(ctx context.Context, _ tool.ReadFileIn) (Answer, error) {
				return Stream(func(w io.Writer) error {
					defer close(stopped)
					io.WriteString(w, strings.Repeat("x", 10_000))
					<-ctx.Done()
					return ctx.Err()
				}), nil
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reply, err := line(t, m).Call(ctx, readFile("/"))
			if err != nil {
				t.Fatal(err)
			}
			if how == "close" {
				reply.Body.Close()
			} else {
				cancel()
			}
			<-stopped
		})
	}
}

// stream is a Client of a Mux whose file change stream does what perform does.
func stream(t *testing.T, perform func(ctx context.Context, emit func(any) error) error) *Client {
	m := new(Mux)
	HandleStream(m, tool.FileChange, func(ctx context.Context, _ tool.PathIn, emit func(any) error) error {
		return perform(ctx, emit)
	})
	return line(t, m)
}

func TestEventsArriveAsTheyAreEmitted(t *testing.T) {
	next := make(chan struct{})
	c := stream(t, func(_ context.Context, emit func(any) error) error {
		for i := range 3 {
			if err := emit([]int{i}); err != nil {
				return err
			}
			<-next
		}
		return nil
	})
	var got []string
	err := c.Stream(t.Context(), tool.Call{Name: "get_file_change", Args: []byte(`{"path":"/w"}`)}, func(e []byte) error {
		got = append(got, string(e))
		next <- struct{}{}
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[[0] [1] [2]]" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestStreamsEndAsTheirToolDoes(t *testing.T) {
	for name, tc := range map[string]struct {
		perform func(context.Context, func(any) error) error
		events  int
		want    error
	}{
		"nothing":           {perform: func(context.Context, func(any) error) error { return nil }},
		"fails at once":     {perform: func(context.Context, func(any) error) error { return errors.New("no") }, want: agentbay.Invalid},
		"fails later":       {perform: func(_ context.Context, emit func(any) error) error { emit(1); return errors.New("no") }, events: 1, want: agentbay.Unavailable},
		"event of 2 MiB":    {perform: func(_ context.Context, emit func(any) error) error { return emit(strings.Repeat("x", 2<<20)) }, events: 1},
		"event is too long": {perform: func(_ context.Context, emit func(any) error) error { return emit(strings.Repeat("x", MaxEvent)) }, want: agentbay.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			events := 0
			err := stream(t, tc.perform).Stream(t.Context(), tool.Call{Name: "get_file_change", Args: []byte(`{"path":"/w"}`)}, func([]byte) error { events++; return nil })
			if events != tc.events || (err == nil) != (tc.want == nil) || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%d events, %v; want %d, %v", events, err, tc.events, tc.want)
			}
		})
	}
}

func TestAFailingYieldStopsTheStream(t *testing.T) {
	stopped := make(chan struct{})
	c := stream(t, func(ctx context.Context, emit func(any) error) error {
		defer close(stopped)
		emit(1)
		<-ctx.Done()
		return ctx.Err()
	})
	enough := errors.New("enough")
	if err := c.Stream(t.Context(), tool.Call{Name: "get_file_change", Args: []byte(`{"path":"/w"}`)}, func([]byte) error { return enough }); err != enough {
		t.Errorf("Stream: %v, want what yield said", err)
	}
	<-stopped
}

func TestAPortIsReachedAsIfFromInside(t *testing.T) {
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	go func() { // greets, then answers with what it got once that has ended
		c, err := inside.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "hello ")
		all, _ := io.ReadAll(c)
		c.Write(all)
	}()
	c := line(t, new(Mux))
	conn, err := c.DialPort(t.Context(), uint16(inside.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := strings.Repeat("bytes ", 100_000)
	io.WriteString(conn, sent)
	conn.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello "+sent {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(sent)+6)
	}
}

func TestADeadPortIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := uint16(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	c := line(t, new(Mux))
	if _, err := c.DialPort(t.Context(), dead); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("DialPort of a dead port: %v, want Unavailable", err)
	}
	if _, err := c.DialPort(t.Context(), 0); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("DialPort(0): %v, want Invalid", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.DialPort(ctx, dead); err == nil {
		t.Error("DialPort with a context that has ended succeeded")
	}
}

// guestSaying is a Client of a guest that answers whatever it is asked with raw bytes.
func guestSaying(raw []byte) *Client {
	return &Client{Dial: func(context.Context) (net.Conn, error) {
		host, guest := net.Pipe()
		go func() {
			defer guest.Close()
			buf := make([]byte, 4096)
			if _, err := guest.Read(buf); err != nil {
				return
			}
			go io.Copy(io.Discard, guest)
			guest.Write(raw)
		}()
		return host, nil
	}}
}

func TestAHostileGuestCannotTalkForever(t *testing.T) {
	c := guestSaying([]byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 10<<20)))
	if _, err := c.Call(t.Context(), readFile("/")); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Call: %v, want Unavailable", err)
	}
	if _, err := c.DialPort(t.Context(), 80); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("DialPort: %v, want Unavailable", err)
	}
	c = guestSaying([]byte("HTTP/1.1 400 No\r\n\r\n" + strings.Repeat("y", 10<<20)))
	if _, err := c.Call(t.Context(), readFile("/")); len(fmt.Sprint(err)) > 2*maxSentence {
		t.Errorf("a refusal of %d bytes got through", len(fmt.Sprint(err)))
	}
	c = guestSaying([]byte("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("y", MaxEvent+10)))
	if err := c.Stream(t.Context(), tool.Call{Name: "get_file_change", Args: []byte(`{"path":"/w"}`)}, func([]byte) error { return nil }); err == nil {
		t.Error("an endless event got through")
	}
}

func FuzzGuestAnswers(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nAgentbay-Failed: true\r\n\r\n\xff\xfe",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n",
		"HTTP/1.1 999 \r\n\r\n", "HTTP/9", "",
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := guestSaying(raw)
		defer c.CloseIdle()
		if reply, err := c.Call(ctx, readFile("/")); err == nil {
			if r, err := reply.Result(1 << 20); err == nil && strings.ToValidUTF8(r.Text, "") != r.Text {
				t.Errorf("answer is not UTF-8: %q", r.Text)
			}
		}
		c.Stream(ctx, tool.Call{Name: "get_file_change", Args: []byte(`{"path":"/w"}`)}, func([]byte) error { return nil })
		if conn, err := c.DialPort(ctx, 1); err == nil {
			conn.Close()
		}
		if ctx.Err() != nil {
			t.Error("hung")
		}
	})
}

func FuzzHostCalls(f *testing.F) {
	f.Add("POST", "/call/read_file", []byte(`{"path":"/"}`))
	f.Add("POST", "/stream/get_file_change", []byte(`{}`))
	f.Add("GET", "/health", []byte(nil))
	m := new(Mux)
	Handle(m, tool.ReadFile, func(context.Context, tool.ReadFileIn) (Answer, error) { return Text("x"), nil })
	c := line(f, m)
	f.Fuzz(func(t *testing.T, method, path string, args []byte) {
		req, err := http.NewRequest(method, "http://guest"+path, strings.NewReader(string(args)))
		if err != nil || method == http.MethodConnect {
			return
		}
		req.Header.Set("Authorization", "Bearer secret")
		if res, err := c.pool().RoundTrip(req); err == nil {
			res.Body.Close()
		}
		if err := c.Health(t.Context()); err != nil {
			t.Errorf("after %s %q: %v", method, path, err)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	m := new(Mux)
	Handle(m, tool.ReadFile, func(context.Context, tool.ReadFileIn) (Answer, error) { return Text("x"), nil })
	c := line(b, m)
	call := readFile("/x")
	for b.Loop() {
		reply, err := c.Call(b.Context(), call)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := reply.Result(10); err != nil {
			b.Fatal(err)
		}
	}
}
