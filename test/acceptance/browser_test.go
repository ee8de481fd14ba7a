package acceptance

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/tool"
)

// devTools asks a browser something over its link.
func devTools(t *testing.T, link, method string, params ...any) (result map[string]any) {
	t.Helper()
	conn, err := devtools.Dial(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all any
	if len(params) > 0 {
		all = params[0]
	}
	if err := conn.Browser().Call(t.Context(), method, all, &result); err != nil {
		t.Fatal(err)
	}
	return result
}

// discovered asks the DevTools themselves where a browser is, as clients do that
// are told an address over HTTP.
func discovered(t *testing.T, link string) string {
	t.Helper()
	base, _, _ := strings.Cut(link, "/devtools/")
	answer, err := http.Get("http" + strings.TrimPrefix(base, "ws") + "/json/version")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var v struct{ WebSocketDebuggerURL string }
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
		t.Fatalf("%s: %v", answer.Status, err)
	}
	return v.WebSocketDebuggerURL
}

func TestBrowser(t *testing.T) {
	for _, image := range []string{"browser_latest", "linux_latest"} {
		t.Run(image, func(t *testing.T) {
			s := session(t, image)
			link, err := s.Browser().Link(t.Context()) // without having opened it
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := devTools(t, link, "Browser.getVersion")["product"].(string); !strings.HasPrefix(v, "Chrome/") {
				t.Errorf("it is %q", v)
			}
			again, err := s.Browser().Link(t.Context())
			if err != nil || again != link {
				t.Errorf("asked again it is at %s, %v, want %s", again, err, link)
			}
			if said := discovered(t, link); said != link {
				t.Errorf("its DevTools say they are at %s, want %s", said, link)
			}
			if err := s.Browser().Open(t.Context(), tool.BrowserIn{UserAgent: "Agent/7", CmdArgs: []string{"--lang=de"}}); err != nil {
				t.Fatal(err)
			}
			link, err = s.Browser().Link(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if v := devTools(t, link, "Browser.getVersion")["userAgent"]; v != "Agent/7" {
				t.Errorf("it calls itself %v", v)
			}
			answer, err := http.Get("http" + strings.TrimPrefix(strings.Replace(link, "tok-", "tok-x", 1), "ws"))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("with a forged token: %s", answer.Status)
			}
			if err := s.Browser().Open(t.Context(), tool.BrowserIn{CmdArgs: []string{"--user-data-dir=/etc"}}); !errors.Is(err, agentbay.Invalid) {
				t.Errorf("a switch of the session's: %v, want Invalid", err)
			}
			if err := s.Browser().Close(t.Context()); err != nil {
				t.Error(err)
			}
			if out := sh(t, s, "pgrep -c chromium || true"); strings.TrimSpace(out) != "0" {
				t.Errorf("%s processes of the browser are left", out)
			}
		})
	}
	s := session(t, "code_latest")
	if _, err := s.Browser().Link(t.Context()); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), "has no browser") {
		t.Errorf("of an image without a browser: %v", err)
	}
}

// A profile goes on in the next session, and is nobody else's.
func TestABrowserProfileGoesOn(t *testing.T) {
	c := client(t)
	mine, others := newContext(t, c), newContext(t, c)
	open := func(id agentbay.ContextID) (*agentbay.Session, string) {
		s, err := c.Create(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Contexts: []agentbay.ContextMount{agentbay.BrowserProfile(id)}})
		if err != nil {
			t.Fatal(err)
		}
		link, err := s.Browser().Link(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s, link
	}
	remove := func(s *agentbay.Session) {
		if err := s.Delete(t.Context()); err != nil {
			t.Error(err)
		}
	}
	s, link := open(mine)
	devTools(t, link, "Storage.setCookies", map[string]any{"cookies": []any{map[string]any{
		"name": "who", "value": "me", "domain": "example.com", "path": "/", "expires": time.Now().Add(time.Hour).Unix(),
	}}})
	devTools(t, link, "Browser.close")
	sh(t, s, "while pgrep chromium; do sleep 0.05; done")
	remove(s)
	for id, want := range map[agentbay.ContextID]int{mine: 1, others: 0} {
		s, link := open(id)
		if got, _ := devTools(t, link, "Storage.getCookies")["cookies"].([]any); len(got) != want {
			t.Errorf("the next session has cookies %v, want %d", got, want)
		}
		remove(s)
	}
}

// A fingerprint that a context keeps is worn in the next session, too.
func TestAFingerprintGoesOn(t *testing.T) {
	c := client(t)
	id := newContext(t, c)
	agent := func(raw string) (seen, kept string) {
		s, err := c.Create(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Contexts: []agentbay.ContextMount{agentbay.BrowserFingerprint(id)}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Delete(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		in := tool.BrowserIn{
			Stealth: true, KeepFingerprint: agentbay.BrowserFingerprints, RawFingerprint: raw,
			Fingerprint: &tool.FingerprintWish{Systems: []string{"windows", "macos", "linux"}},
		}
		if err := s.Browser().Open(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		text, err := s.Browser().Navigate(t.Context(), "data:text/html,<script>document.title = navigator.userAgent + ' ' + navigator.hardwareConcurrency + ' ' + screen.width</script>")
		if err != nil {
			t.Fatal(err)
		}
		_, seen, _ = strings.Cut(text, ", \"")
		return seen, sh(t, s, "cat "+agentbay.BrowserFingerprints+"/fingerprint.json")
	}
	first, kept := agent("")
	if second, _ := agent(""); second != first {
		t.Errorf("the next session has %q, want %q", second, first)
	}
	given := regexp.MustCompile(`Chrome/\d+`).ReplaceAllString(kept, "Chrome/99")
	if third, _ := agent(base64.StdEncoding.EncodeToString([]byte(given))); !strings.Contains(third, "Chrome/99") {
		t.Errorf("with a fingerprint that is given: %q", third)
	}
	if fourth, _ := agent(""); !strings.Contains(fourth, "Chrome/99") {
		t.Errorf("after it: %q, want the one that was given", fourth)
	}
}

// A viewport is the size that pages have.
func TestPagesHaveTheSizeOfTheViewport(t *testing.T) {
	b := session(t, "browser_latest").Browser()
	for _, in := range []tool.BrowserIn{
		{Viewport: &tool.BrowserSize{Width: 1000, Height: 600}},
		{Viewport: &tool.BrowserSize{Width: 701, Height: 499}, Screen: &tool.BrowserSize{Width: 1200, Height: 700}},
	} {
		if err := b.Open(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		text, err := b.Navigate(t.Context(), "data:text/html,<script>document.title = innerWidth + ' by ' + innerHeight</script>")
		if want := fmt.Sprintf("%d by %d", in.Viewport.Width, in.Viewport.Height); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s, %v, want pages of %s", text, err, want)
		}
	}
}

// What a page looks like is on the screen when its navigation is over.
func TestAPageIsOnTheScreenOnceNavigated(t *testing.T) {
	for i, colour := range []color.RGBA{{255, 0, 0, 255}, {0, 128, 0, 255}, {0, 0, 255, 255}} {
		s := session(t, "browser_latest") // whose browser is opened by the navigation
		if _, err := s.Browser().Navigate(t.Context(), fmt.Sprintf("data:text/html,<body bgcolor=%%23%02x%02x%02x>", colour.R, colour.G, colour.B)); err != nil {
			t.Fatal(err)
		}
		picture := desk{t, s, s.Computer()}.picture()
		b := picture.Bounds()
		if got := picture.At((b.Min.X+b.Max.X)/2, (b.Min.Y+b.Max.Y)/2); !same(got, colour) {
			t.Errorf("session %d has %v in the middle of its screen, want %v", i, got, colour)
		}
	}
}

func same(a, b color.Color) bool {
	r, g, bl, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	return r>>8 == r2>>8 && g>>8 == g2>>8 && bl>>8 == b2>>8
}

// An extension is an archive of a context.
func TestABrowserLoadsExtensions(t *testing.T) {
	c := client(t)
	id := newContext(t, c)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, text := range map[string]string{
		"manifest.json": `{"manifest_version": 3, "name": "Worker", "version": "1", "background": {"service_worker": "work.js"}}`,
		"work.js":       "",
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	z.Close()
	if err := c.PutContextFile(t.Context(), id, "/tmp/extensions/worker.zip", &archive); err != nil {
		t.Fatal(err)
	}
	s, err := c.Create(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Contexts: []agentbay.ContextMount{agentbay.BrowserExtensions(id, "worker.zip")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Delete(context.WithoutCancel(t.Context()))
	sh(t, s, `mkdir /tmp/extensions/none; mkdir /tmp/extensions/bad; echo '{"name": "bad"}' >/tmp/extensions/bad/manifest.json`) // which the browser passes over
	if err := s.Browser().Open(t.Context(), tool.BrowserIn{ExtensionPath: "/tmp/extensions"}); err != nil {
		t.Fatal(err)
	}
	link, err := s.Browser().Link(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var seen []any
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		seen, _ = devTools(t, link, "Target.getTargets")["targetInfos"].([]any)
		for _, target := range seen {
			if url, _ := target.(map[string]any)["url"].(string); strings.HasPrefix(url, "chrome-extension://") {
				return
			}
		}
	}
	t.Errorf("no extension among %v", seen)
}
