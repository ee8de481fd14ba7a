package browser

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/tool"
)

// A looker is pages that write down what they can read of their browser: as the
// page, as frames of the same and of another site, and as workers.
const looker = `
const look = async () => { const n = navigator, d = n.userAgentData
	let card = ''
	try { const gl = new OffscreenCanvas(1, 1).getContext('webgl'), x = gl.getExtension('WEBGL_debug_renderer_info')
		card = gl.getParameter(x.UNMASKED_RENDERER_WEBGL) } catch { card = 'none' }
	return { agent: n.userAgent, platform: n.platform, languages: n.languages.join(), cores: n.hardwareConcurrency, memory: n.deviceMemory,
		driven: !!n.webdriver, brands: d?.brands.map(b => b.brand).sort().join(), system: d?.platform, mobile: d?.mobile,
		version: (await d?.getHighEntropyValues(['platformVersion']))?.platformVersion, card,
		width: globalThis.screen?.width, touch: n.maxTouchPoints, zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
		full: (await d?.getHighEntropyValues(['uaFullVersion', 'fullVersionList'])), shows: shows() } }

// shows is what tells a function that was replaced from the one before.
const shows = () => {
	const found = []
	const getter = (type, name) => Object.getOwnPropertyDescriptor(globalThis[type]?.prototype ?? {}, name)?.get
	const navigator = globalThis.Navigator ? 'Navigator' : 'WorkerNavigator'
	const all = { 'get hardwareConcurrency': getter(navigator, 'hardwareConcurrency'), 'get deviceMemory': getter(navigator, 'deviceMemory'), 'get platform': getter(navigator, 'platform'),
		'get width': getter('Screen', 'width'), getParameter: globalThis.WebGLRenderingContext?.prototype.getParameter, toString: Function.prototype.toString }
	const frame = globalThis.document?.body?.appendChild(document.createElement('iframe'))
	const from = f => { try { f() } catch (e) { return e } }
	for (const [name, f] of Object.entries(all)) {
		if (!f) continue
		const not = (what, ok) => ok || found.push(name + ' ' + what)
		const native = 'function ' + name + '() { [native code] }'
		not('has source', String(f) == native)
		not('has source in another frame', !frame || frame.contentWindow.Function.prototype.toString.call(f) == native)
		not('has source from another frame', !frame || name == 'toString' || String(frame.contentWindow.Function.prototype.toString) == 'function toString() { [native code] }')
		not('is called ' + f.name, f.name == name)
		not('has a prototype', !('prototype' in f))
		not('has properties', Object.getOwnPropertyNames(f).sort() == 'length,name')
		not('can be constructed', from(() => new f()) instanceof TypeError)
		const e = from(() => f.call({}))
		not('takes anything', e instanceof TypeError)
		not('shows where it was called from: ' + e.stack, e.stack.split('\n').length == from(() => null.x).stack.split('\n').length)
	}
	frame?.remove()
	return found.join('; ')
}
`

func looking(t *testing.T) (address string, seen chan map[string]any) {
	t.Helper()
	seen = make(chan map[string]any, 100)
	m := http.NewServeMux()
	var other string
	report := func(as string) string {
		return looker + fmt.Sprintf("look().then(x => fetch('/seen?as=%s', {method: 'POST', body: JSON.stringify(x)}))", as)
	}
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>Looker</title><iframe src="/frame"></iframe><iframe src="%s/frame"></iframe>
<script>%s; new Worker('/worker.js'); new SharedWorker('/shared.js')</script>`, other, report("page"))
	})
	m.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<script>%s</script>", report(strings.Split(r.Host, ":")[0]))
	})
	for _, kind := range []string{"worker", "shared"} {
		m.HandleFunc("GET /"+kind+".js", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, report(kind))
		})
	}
	m.HandleFunc("POST /seen", func(_ http.ResponseWriter, r *http.Request) {
		x := map[string]any{}
		json.NewDecoder(r.Body).Decode(&x)
		x["as"], x["header"], x["accept"] = r.URL.Query().Get("as"), r.UserAgent(), r.Header.Get("Accept-Language")
		seen <- x
	})
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	other = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return srv.URL + "/", seen
}

// openAs opens a browser whose first page is the looker, and returns what each
// part of that has seen.
func openAs(t *testing.T, in tool.BrowserIn) map[string]map[string]any {
	t.Helper()
	address, seen := looking(t)
	b := newBrowser(t)
	in.CmdArgs, in.DefaultURL = append(in.CmdArgs, headless...), address
	if _, failure := call(t, b, tool.OpenBrowser, in); failure != "" {
		t.Fatal(failure)
	}
	all := map[string]map[string]any{}
	for range 5 {
		select {
		case x := <-seen:
			all[x["as"].(string)] = x
		case <-t.Context().Done():
			t.Fatalf("only %d parts of the page were seen", len(all))
		}
	}
	return all
}

func TestADisguiseIsWornEverywhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "print")
	in := tool.BrowserIn{Stealth: true, KeepFingerprint: dir, Fingerprint: &tool.FingerprintWish{Systems: []string{"windows"}, Locales: []string{"de-DE"}}}
	first := openAs(t, in)
	for as, x := range first {
		for what, want := range map[string]any{
			"platform": "Win32", "languages": "de-DE,de", "memory": 8., "driven": false, "zone": "Europe/Berlin", "shows": "",
			"system": "Windows", "mobile": false, "cores": first["page"]["cores"], "agent": first["page"]["agent"], "header": first["page"]["agent"],
		} {
			if x[what] != want {
				t.Errorf("%s: %s is %v, want %v", as, what, x[what], want)
			}
		}
		if agent := x["agent"].(string); !strings.Contains(agent, "Windows NT 10.0") || strings.Contains(agent, "Headless") {
			t.Errorf("%s: it calls itself %s", as, agent)
		}
		if card := x["card"].(string); card != "none" && !strings.Contains(card, "Direct3D11") {
			t.Errorf("%s: its video card is %s", as, card)
		}
		if brands := x["brands"].(string); !strings.Contains(brands, "Chromium,Google Chrome") || !strings.Contains(brands, "Not") {
			t.Errorf("%s: its brands are %s", as, brands)
		}
		if full := fmt.Sprint(x["full"]); strings.Count(full, x["full"].(map[string]any)["uaFullVersion"].(string)) != 3 {
			t.Errorf("%s: its versions are %s", as, full)
		}
		if !strings.HasPrefix(x["accept"].(string), "de-DE,de") {
			t.Errorf("%s: it accepts %s", as, x["accept"])
		}
	}
	in.Fingerprint = &tool.FingerprintWish{Devices: []string{"mobile"}} // what is kept comes first
	if again := openAs(t, in); again["page"]["agent"] != first["page"]["agent"] || again["page"]["cores"] != first["page"]["cores"] {
		t.Errorf("kept, it is %v, want %v", again["page"], first["page"])
	}
	raw := base64.StdEncoding.EncodeToString([]byte(`{"fingerprint": {"navigator": {"userAgent": "Raw/1", "hardwareConcurrency": 3}}, "headers": {}}`))
	in.RawFingerprint = raw
	if x := openAs(t, in)["worker"]; x["agent"] != "Raw/1" || x["cores"] != 3. {
		t.Errorf("of a fingerprint that was given: %v", x)
	}
	if b, err := os.ReadFile(filepath.Join(dir, printFile)); err != nil || !strings.Contains(string(b), "Raw/1") {
		t.Errorf("kept is %s, %v", b, err)
	}
}

func TestAPhoneIsAPhone(t *testing.T) {
	x := openAs(t, tool.BrowserIn{Stealth: true, Fingerprint: &tool.FingerprintWish{Devices: []string{"mobile"}, Systems: []string{"android"}}})["page"]
	if x["mobile"] != true || x["width"] != 412. || x["touch"] != 5. || !strings.Contains(x["agent"].(string), "Mobile") {
		t.Errorf("it is %v", x)
	}
}

func TestWithoutStealthThereIsNoDisguise(t *testing.T) {
	x := openAs(t, tool.BrowserIn{Fingerprint: &tool.FingerprintWish{Systems: []string{"windows"}}})["page"]
	if x["platform"] != "Linux x86_64" || x["driven"] != false {
		t.Errorf("it is %v", x)
	}
	x = openAs(t, tool.BrowserIn{Stealth: true, UserAgent: "Mine/1", Fingerprint: &tool.FingerprintWish{Systems: []string{"windows"}}})["page"]
	if x["platform"] != "Linux x86_64" || x["agent"] != "Mine/1" {
		t.Errorf("with a user agent it is %v", x)
	}
}

func TestFingerprintsThatMakeNoSenseAreRefused(t *testing.T) {
	b := newBrowser(t)
	for want, in := range map[string]tool.BrowserIn{
		"no base64":         {RawFingerprint: "%%%"},
		"no JSON":           {RawFingerprint: "e30x"},
		"no user agent":     {RawFingerprint: "e30="},
		"no fingerprint is": {Fingerprint: &tool.FingerprintWish{Devices: []string{"desktop"}, Systems: []string{"ios"}}},
	} {
		in.Stealth, in.CmdArgs = true, headless
		if _, failure := call(t, b, tool.OpenBrowser, in); !strings.Contains(failure, want) {
			t.Errorf("%+v: %q, want %q", in, failure, want)
		}
	}
}
