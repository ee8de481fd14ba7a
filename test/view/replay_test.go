package view

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
	"github.com/agentbay/agentbay/tool"
)

// A page that a session's browser is shown: it is in the session, as nothing of the
// host is reached from there.
const wares = `<!doctype html><title>Wares</title><link rel="stylesheet" href="/style.css">
<h1 id="h">Wares</h1><p><img id="dot" src="/dot.svg"> <input id="name"> <input id="secret" type="password"> <button id="buy">Buy</button></p><div id="out"></div>
<script>
const say = (text) => { const p = document.createElement('p'); p.textContent = text; document.getElementById('out').append(p) }
document.getElementById('buy').onclick = () => { say('sold to ' + document.getElementById('name').value); console.error('out of stock'); fetch('/missing') }
</script>`

const server = `
import http.server
files = {'/': ('text/html', %q), '/two': ('text/html', '<!doctype html><title>Two</title><h1>Second page</h1>'),
	'/style.css': ('text/css', 'body { font-family: sans-serif; background: rgb(240, 248, 255) } button { background: gold }'),
	'/dot.svg': ('image/svg+xml', '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="80"><circle cx="40" cy="40" r="38" fill="tomato"/></svg>')}
class Handler(http.server.BaseHTTPRequestHandler):
	def do_GET(self):
		kind, text = files.get(self.path, ('text/plain', ''))
		self.send_response(200 if self.path in files else 404)
		self.send_header('Content-Type', kind)
		self.end_headers()
		self.wfile.write(text.encode())
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Handler).serve_forever()
`

// newShop is a session whose pages are recorded, and that has the page.
func newShop(t *testing.T) desk {
	b := live.New(t, "--warm", "linux_latest=0,code_latest=0")
	yes := true
	s, err := b.Client.Create(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Replay: &yes})
	must(t, err)
	d := desk{t, b, s, newBrowser(t)}
	must(t, s.FS(t.Context()).WriteFile("tmp/server.py", []byte(fmt.Sprintf(server, wares))))
	must(t, s.Command("nohup python3 /tmp/server.py >/tmp/server.log 2>&1 & for i in $(seq 100); do python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2>/dev/null && break; sleep 0.1; done").Run(t.Context()))
	return d
}

// replay is the session's replay.
func (d desk) replay() agentbay.Recording {
	d.Helper()
	all, err := d.session.Recordings(d.Context())
	must(d, err)
	i := slices.IndexFunc(all, func(r agentbay.Recording) bool { return r.Kind == agentbay.RecordedPages })
	if i < 0 {
		d.Fatalf("there is no replay among %+v", all)
	}
	return all[i]
}

func (d desk) perform(in tool.PagePerformIn) {
	d.Helper()
	r, err := d.session.Call(d.Context(), tool.PagePerform.Name, in)
	must(d, err)
	if r.Failed {
		d.Fatal(r.Text)
	}
}

func (d desk) visit(address string) {
	d.Helper()
	_, err := d.session.Browser().Navigate(d.Context(), address)
	must(d, err)
}

// inFrame is an expression about the document that is shown, which is d.
func inFrame(expression string) string {
	return "(() => { const d = document.querySelector('.screen:not([hidden]) iframe')?.contentDocument; return d && (" + expression + ") })()"
}

func TestAReplayPlays(t *testing.T) {
	d := newShop(t)
	d.visit("http://127.0.0.1:8000/")
	p := d.browser.open(d.replay().URL)
	p.wait(inFrame("d.getElementById('h')?.textContent === 'Wares'"))
	p.wait("document.getElementById('state').dataset.state === 'live'")
	d.perform(tool.PagePerformIn{Method: tool.PageFill, Selector: "#name", Text: "Ada"})
	d.perform(tool.PagePerformIn{Method: tool.PageFill, Selector: "#secret", Text: "hunter22"})
	d.perform(tool.PagePerformIn{Method: tool.PageClick, Selector: "#buy"})
	p.wait(inFrame("d.getElementById('out').textContent.includes('sold to Ada')")) // live
	p.wait(inFrame("d.getElementById('name').value === 'Ada' && d.getElementById('secret').value !== 'hunter22'"))
	p.wait(inFrame("d.getElementById('dot').naturalWidth === 80 && d.defaultView.getComputedStyle(d.body).backgroundColor === 'rgb(240, 248, 255)'"))
	p.shoot("replay-live")
	d.visit("http://127.0.0.1:8000/two")
	p.wait(inFrame("d.querySelector('h1')?.textContent === 'Second page'"))

	must(t, d.session.Delete(t.Context()))
	r := d.replay()
	if r.EndedAt.IsZero() || r.Reason != "the session ended" || r.Bytes == 0 {
		t.Errorf("the replay of a session that has ended: %+v", r)
	}
	p.wait("document.getElementById('state').dataset.state === 'connected'")
	v := d.browser.open(r.URL) // from the beginning, on its own
	v.wait("document.getElementById('state').dataset.state === 'connected'")
	v.wait("document.querySelectorAll('#console li.error').length >= 1 && document.querySelectorAll('#network li').length >= 4")
	v.wait(inFrame("d.querySelector('h1')?.textContent === 'Second page'")) // it plays to the end
	v.wait("document.getElementById('play').textContent === '▶'")
	v.eval("(() => { const s = document.getElementById('seek'); s.value = s.min; s.dispatchEvent(new Event('input')) })()")
	v.wait(inFrame("!d.body?.textContent.includes('Second page')"))
	v.eval("[...document.querySelectorAll('#console li.error')].find(x => x.textContent.includes('out of stock')).click()")
	v.wait(inFrame("d.getElementById('name')?.value === 'Ada' && d.getElementById('dot').naturalWidth === 80"))
	v.click("networktab")
	v.shoot("replay")
	if text := v.eval("document.getElementById('network').innerText"); !strings.Contains(text, "/missing") || !strings.Contains(text, "404") {
		t.Errorf("network: %s", text)
	}
}

// A node of a document, as rrweb writes it.
func node(id int, tag string, attributes map[string]any, children ...any) map[string]any {
	return map[string]any{"type": 2, "id": id, "tagName": tag, "attributes": attributes, "childNodes": append([]any{}, children...)}
}

func text(id int, s string) map[string]any {
	return map[string]any{"type": 3, "id": id, "textContent": s}
}

// hostile is a replay of a page that does what it can to run scripts where it is
// played, and to have something be loaded from outside.
func hostile(t *testing.T, outside string) string {
	type attrs = map[string]any
	const run = "top.evil = 1"
	body := node(4, "body", attrs{"onload": run},
		text(5, "all of it"),
		node(6, "img", attrs{"src": outside + "/img", "srcset": outside + "/set 2x", "onerror": run}),
		node(7, "script", attrs{}, text(8, run)),
		node(9, "iframe", attrs{"src": "javascript:" + run}),
		node(10, "iframe", attrs{"srcdoc": "<script>" + run + "</script>"}),
		node(11, "iframe", attrs{"src": outside + "/frame"}),
		node(12, "link", attrs{"rel": "stylesheet", "href": outside + "/css"}),
		node(13, "meta", attrs{"http-equiv": "refresh", "content": "0;url=" + outside + "/refresh"}),
		node(14, "style", attrs{"_cssText": "body { background: url(" + outside + "/background) }"}),
		node(15, "input", attrs{"autofocus": true, "onfocus": run}),
		node(16, "object", attrs{"data": outside + "/object"}),
		node(17, "video", attrs{"src": outside + "/video", "poster": outside + "/poster", "autoplay": true}),
		map[string]any{"type": 2, "id": 18, "tagName": "svg", "isSVG": true, "attributes": attrs{"onload": run}, "childNodes": []any{}},
		node(19, "base", attrs{"href": outside + "/base/"}),
	)
	events := []any{
		map[string]any{"type": 4, "timestamp": 1000, "data": attrs{"href": "javascript:" + run, "width": 800, "height": 600}},
		map[string]any{"type": 2, "timestamp": 1001, "data": attrs{"initialOffset": attrs{"left": 0, "top": 0}, "node": attrs{"type": 0, "id": 1, "childNodes": []any{node(2, "html", attrs{}, node(3, "head", attrs{}), body)}}}},
		map[string]any{"type": 3, "timestamp": 3000, "data": attrs{"source": 0, "texts": []any{}, "removes": []any{}, "adds": []any{},
			"attributes": []any{attrs{"id": 6, "attributes": attrs{"src": outside + "/later", "onerror": run}}}}},
	}
	var lines strings.Builder
	for _, x := range []any{
		map[string]any{"kind": "page", "at": 1000, "page": 1},
		map[string]any{"kind": "console", "at": 1500, "page": 1, "level": "error", "text": "<img src=x onerror='" + run + "'>", "where": "<b>"},
		map[string]any{"kind": "network", "at": 1500, "page": 1, "method": "<b>", "url": "javascript:" + run, "status": 200},
		map[string]any{"kind": "asset", "at": 1500, "url": outside + "/frame", "type": "text/html", "data": "PHNjcmlwdD50b3AuZXZpbD0xPC9zY3JpcHQ+"},
		map[string]any{"kind": "dom", "page": 7, "event": nil}, "nonsense",
	} {
		b, err := json.Marshal(x)
		must(t, err)
		lines.WriteString(string(b) + "\n")
	}
	for _, e := range events {
		b, err := json.Marshal(map[string]any{"kind": "dom", "page": 1, "event": e})
		must(t, err)
		lines.WriteString(string(b) + "\n")
	}
	return lines.String()
}

func TestAReplayRunsAndLoadsNothing(t *testing.T) {
	d := newShop(t)
	must(t, d.session.Delete(t.Context()))
	called := make(chan string, 100)
	outside := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.URL.Path }))
	defer outside.Close()
	r := d.replay()
	file := filepath.Join(d.bay.Data, "captures", string(d.session.ID), r.Name)
	must(t, os.WriteFile(file, []byte(hostile(t, outside.URL)), 0o600))
	p := d.browser.open(r.URL)
	p.wait(inFrame("d.body?.textContent.includes('all of it')"))
	p.wait("document.getElementById('play').textContent === '▶'") // it is over
	if got := p.eval("String(window.evil)"); got != "undefined" {
		t.Error("a script of the replay was run")
	}
	if got := p.eval("document.querySelectorAll('#panel b b, #panel img').length"); got != "0" {
		t.Error("what a page wrote to the console is part of ours")
	}
	select {
	case path := <-called:
		t.Errorf("%s was loaded from outside", path)
	default:
	}
	p.shoot("replay-hostile")
	answer, err := http.Get(r.URL)
	must(t, err)
	answer.Body.Close()
	if csp := answer.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy: %q", csp)
	}
	ticket := strings.Split(r.URL, "/")[4]
	answer, err = http.Get(strings.Replace(r.URL, ticket, ticket[:len(ticket)-2]+"xx", 1))
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a forged link: %s", answer.Status)
	}
}
