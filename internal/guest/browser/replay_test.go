package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/guest/replay"
	"github.com/agentbay/agentbay/internal/rrweb"
	"github.com/agentbay/agentbay/tool"
)

// shop is a site that has a page with what a replay has to show.
func shop(t *testing.T) string {
	t.Helper()
	m := http.NewServeMux()
	var other string
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>Shop</title><link rel="stylesheet" href="%s/style.css">
<h1>Wares</h1><img src="/dot.svg"><iframe src="%[1]s/frame"></iframe><iframe src="/frame"></iframe>
<input id="name"><input id="secret" type="password"><button onclick="document.querySelector('h1').textContent = 'Sold'; console.log('bought', 3, {a: 1})">Buy</button>
<script>fetch('/missing?token=abc'); document.body.attachShadow
const style = document.head.appendChild(document.createElement('style')); onload = () => style.sheet.insertRule('h1 { color: rgb(1, 2, 3) }')</script>`, other)
	})
	m.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<p>framed by %s</p><script>console.warn('from ' + location.hostname)</script>", strings.Split(r.Host, ":")[0])
	})
	m.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		io.WriteString(w, "h1 { font-size: 40px }")
	})
	m.HandleFunc("GET /dot.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg"/>`)
	})
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	other = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return srv.URL + "/"
}

// A reel is a replay as the host has it.
type reel struct {
	t    *testing.T
	conn net.Conn
	over chan recording.Outcome

	mu    sync.Mutex
	bytes []byte
}

// WriteAt implements io.WriterAt.
func (r *reel) WriteAt(b []byte, at int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int(at) != len(r.bytes) {
		return 0, fmt.Errorf("%d bytes for %d after %d", len(b), at, len(r.bytes))
	}
	r.bytes = append(r.bytes, b...)
	return len(b), nil
}

// record connects to the recorder of a browser, and receives what follows on what
// there is.
func record(t *testing.T, b *Browser, max int64, before string) *reel {
	t.Helper()
	if !rrweb.Complete() {
		t.Skip("lacks rrweb; scripts/rrweb brings it")
	}
	if b.Recorder == nil {
		b.Recorder = &replay.Recorder{Dir: t.TempDir()}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go b.Recorder.Serve(t.Context(), l)
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, recording.Ask(conn, recording.Request{MaxBytes: max, From: int64(len(before))}))
	r := &reel{t: t, conn: conn, over: make(chan recording.Outcome, 1), bytes: []byte(before)}
	go func() {
		o, err := recording.Receive(bufio.NewReader(conn), r, max, func(int) error { return nil })
		if err != nil {
			o.Error = err.Error()
		}
		r.over <- o
	}()
	return r
}

func (r *reel) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.bytes)
}

// wait waits until all words have come, and returns the lines that have.
func (r *reel) wait(words ...string) (lines []map[string]any) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		missing := ""
		text := r.text()
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(end) {
			r.t.Fatalf("%q does not come: %.20000s", missing, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for line := range bytes.Lines([]byte(r.text())) {
		x := map[string]any{}
		if err := json.Unmarshal(line, &x); err != nil {
			r.t.Fatalf("%.200s: %v", line, err)
		}
		lines = append(lines, x)
	}
	return lines
}

// find is the lines of a kind.
func find(lines []map[string]any, kind string) (found []map[string]any) {
	for _, x := range lines {
		if x["kind"] == kind {
			found = append(found, x)
		}
	}
	return found
}

func TestWhatPagesShowIsRecorded(t *testing.T) {
	address := shop(t)
	b := newBrowser(t)
	r := record(t, b, 64<<20, "")
	r.wait(`"kind":"tape"`)
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless, DefaultURL: address}); failure != "" {
		t.Fatal(failure)
	}
	r.wait("Wares", "framed by 127.0.0.1", "framed by localhost", "rgb(1, 2, 3)")
	for _, x := range []tool.PagePerformIn{
		{Method: tool.PageFill, Selector: "#name", Text: "Ada"},
		{Method: tool.PageFill, Selector: "#secret", Text: "hunter22"},
		{Method: tool.PageClick, Selector: "button"},
	} {
		if _, failure := call(t, b, tool.PagePerform, x); failure != "" {
			t.Fatal(failure)
		}
	}
	lines := r.wait("Sold", "Ada", "bought 3 Object", "from localhost", "from 127.0.0.1", "style.css", `"type":"image/svg+xml","data"`, `"type":"text/css","data"`, "missing?token=abc")
	if strings.Contains(r.text(), "hunter22") {
		t.Error("a password was recorded")
	}
	loads := map[string]float64{}
	for _, x := range find(lines, "network") {
		status, _ := x["status"].(float64)
		loads[strings.TrimPrefix(x["url"].(string), address)] = status
	}
	if loads[""] != 200 || loads["missing?token=abc"] != 404 || loads["dot.svg"] != 200 {
		t.Errorf("loaded: %v", loads)
	}
	if pages := find(lines, "page"); len(pages) != 1 {
		t.Errorf("pages: %v", pages)
	}

	before := r.text()
	r.conn.Close() // as of a host that was killed
	<-r.over
	if _, failure := call(t, b, tool.Navigate, tool.NavigateIn{URL: address + "frame"}); failure != "" {
		t.Fatal(failure)
	}
	again := record(t, b, 64<<20, before)
	again.wait(`"href":"` + address + `frame"`)
	call(t, b, tool.ClosePage, tool.PageIn{})
	again.wait(`"kind":"closed"`)
	must(t, recording.Enough(again.conn))
	if o := <-again.over; o.Reason != recording.Stopped || o.Error != "" {
		t.Errorf("it ended with %+v", o)
	}
}

func TestPagesOfAHiddenBrowserDoNotSeeThatTheyAreRecorded(t *testing.T) {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `<!doctype html><body><script>
let seen = ''
const e = new Error(); Object.defineProperty(e, 'stack', { get() { seen += ' its console is read' } }); console.debug(e)
console.log(Object.create(new Proxy({}, { ownKeys() { seen += ' its console is shown'; return [] } })))
for (const f of [Element.prototype.attachShadow, CSSStyleSheet.prototype.insertRule]) if (!String(f).includes('[native code]')) seen += ' ' + f
for (const name of Object.getOwnPropertyNames(window)) if (/rrweb|agentbay/i.test(name)) seen += ' ' + name
document.body.textContent = 'seen:' + seen + '.'
</script>`)
	})
	srv := httptest.NewServer(m)
	defer srv.Close()
	b := newBrowser(t)
	r := record(t, b, 64<<20, "")
	r.wait(`"kind":"tape"`)
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless, DefaultURL: srv.URL, Stealth: true}); failure != "" {
		t.Fatal(failure)
	}
	r.wait("seen:.")
}

func TestAReplayThatIsFullEnds(t *testing.T) {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `<!doctype html><p>x</p><script>
setInterval(() => { for (let i = 0; i < 20; i++) { console.log('x'.repeat(1000)); document.querySelector('p').textContent = i + 'y'.repeat(5000) } }, 1)</script>`)
	})
	srv := httptest.NewServer(m)
	defer srv.Close()
	b := newBrowser(t)
	r := record(t, b, 1<<20, "")
	r.wait(`"kind":"tape"`)
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless, DefaultURL: srv.URL}); failure != "" {
		t.Fatal(failure)
	}
	if o := <-r.over; o.Reason != recording.Full || o.Error != "" {
		t.Errorf("it ended with %+v", o)
	}
	lines := r.wait(`"of":"console"`, `"of":""`)
	if last := lines[len(lines)-1]; last["kind"] != "lost" || last["of"] != "" || len(r.text()) > 1<<20 {
		t.Errorf("the last line of %d bytes is %v", len(r.text()), last)
	}
	if _, failure := call(t, b, tool.PageSnapshot, tool.PageSnapshotIn{}); failure != "" {
		t.Errorf("the browser does not go on: %s", failure)
	}
}
