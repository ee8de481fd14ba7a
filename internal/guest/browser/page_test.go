package browser

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/tool"
)

// A site is pages of many kinds.
func site(t *testing.T) string {
	t.Helper()
	m := http.NewServeMux()
	page := func(path, title, body string) {
		m.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<!doctype html><title>%s</title><body style='margin:0'>%s", title, body)
		})
	}
	page("/plain", "Plain", "<p>Hello")
	page("/tall", "Tall", "<div style='width:100px;height:5000px;background:linear-gradient(red,blue)'></div>")
	page("/alerts", "Alerts", "<script>for (let i = 0; i < 5; i++) alert('number ' + i); if (!confirm('Sure?')) document.title = 'Denied'</script>")
	page("/stay", "Stay", "<script>onbeforeunload = e => { e.preventDefault(); return 'Stay!' }</script>")
	page("/busy", "Busy", "<script>onload = () => setTimeout(() => { for (;;); })</script>")
	m.HandleFunc("GET /file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment")
	})
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	return srv.URL
}

// headlessly opens a browser without a screen.
func headlessly(t *testing.T) *Browser {
	t.Helper()
	b := newBrowser(t)
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless}); failure != "" {
		t.Fatal(failure)
	}
	return b
}

func goTo(t *testing.T, b *Browser, address string) (text, failure string) {
	t.Helper()
	out, failure := call(t, b, tool.Navigate, tool.NavigateIn{URL: address})
	return string(out), failure
}

func TestAPageIsNavigated(t *testing.T) {
	b, at := headlessly(t), site(t)
	for _, x := range []struct{ path, want, failure string }{
		{"/plain", `"Plain"`, ""},
		{"/plain#here", `/plain#here, "Plain"`, ""},
		{"/alerts", `"Denied"; the page opened a dialog, which was closed: alert "number 0", alert "number 1", alert "number 2"`, ""},
		{"/stay", `"Stay"`, ""},
		{"/plain", `"Plain"`, ""},
		{"/file", "Stayed where it was; downloaded /", ""},
	} {
		text, failure := goTo(t, b, at+x.path)
		if !strings.Contains(text, x.want) || !strings.Contains(failure, x.failure) || (failure == "") != (x.failure == "") {
			t.Errorf("%s: %q, %q", x.path, text, failure)
		}
	}
	for address, want := range map[string]string{
		"http://nowhere.invalid/": "net::ERR_NAME_NOT_RESOLVED",
		"http://127.0.0.1:1/":     "cannot go to",
		"javascript:alert(1)":     "no address",
		"  ":                      "empty",
		"http://[":                "no address",
	} {
		if text, failure := goTo(t, b, address); !strings.Contains(failure, want) {
			t.Errorf("%s: %q, %q", address, text, failure)
		}
	}
	if text, failure := goTo(t, b, "chrome://crash"); failure == "" && !strings.Contains(text, "crash") {
		t.Errorf("a crash: %q", text)
	}
	if text, failure := goTo(t, b, at+"/plain"); !strings.Contains(text, "Plain") {
		t.Errorf("after a crash: %q, %q", text, failure)
	}
	if _, failure := call(t, b, tool.Navigate, tool.NavigateIn{URL: at, PageIn: tool.PageIn{Page: "nonesuch"}}); !strings.Contains(failure, "there is no page") {
		t.Errorf("a page that is none: %q", failure)
	}
}

func TestAnAddressWithoutASchemeIsOfTheWeb(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "https://example.com", "example.com:8080/a": "https://example.com:8080/a", "//a.example": "https://a.example",
		"http://a.example": "http://a.example", "about:blank": "about:blank", "chrome://version": "chrome://version", "localhost:80": "https://localhost:80",
	} {
		if got, err := addressOf(in); got != want || err != nil {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

// size is what a picture of the active page measures.
func size(t *testing.T, b *Browser, in tool.PageScreenshotIn) (width, height int) {
	t.Helper()
	out, failure := call(t, b, tool.PageScreenshot, in)
	data, ok := strings.CutPrefix(string(out), "data:image/png;base64,")
	if !ok {
		t.Fatalf("%+v: %.100q, %s", in, out, failure)
	}
	file, err := base64.StdEncoding.DecodeString(data)
	must(t, err)
	img, err := png.Decode(bytes.NewReader(file))
	must(t, err)
	return img.Bounds().Dx(), img.Bounds().Dy()
}

func TestAPictureShowsAPageOrAPart(t *testing.T) {
	b, at := headlessly(t), site(t)
	if _, failure := goTo(t, b, at+"/tall"); failure != "" {
		t.Fatal(failure)
	}
	no := false
	if _, h := size(t, b, tool.PageScreenshotIn{}); h != 5000 {
		t.Errorf("all of the page is %d pixels high", h)
	}
	if _, h := size(t, b, tool.PageScreenshotIn{Full: &no}); h >= 5000 || h < 100 {
		t.Errorf("what is shown is %d pixels high", h)
	}
	if w, h := size(t, b, tool.PageScreenshotIn{Clip: &tool.Clip{Y: 1000, Width: 50, Height: 2000}}); w != 50 || h != 2000 {
		t.Errorf("a part is %d × %d", w, h)
	}
	for _, c := range []tool.Clip{{}, {Width: -1, Height: 5}, {Width: 1e9, Height: 5}, {Width: 16000, Height: 16000}} {
		if _, failure := call(t, b, tool.PageScreenshot, tool.PageScreenshotIn{Clip: &c}); !strings.Contains(failure, "a picture cannot be") {
			t.Errorf("%+v: %q", c, failure)
		}
	}
	if _, failure := goTo(t, b, at+"/busy"); failure != "" {
		t.Fatal(failure)
	}
	soon := 1.5
	if _, failure := call(t, b, tool.PageScreenshot, tool.PageScreenshotIn{Timeout: &soon}); !strings.Contains(failure, "[timeout]") {
		t.Errorf("of a busy page: %q", failure)
	}
	if text, failure := goTo(t, b, at+"/plain"); !strings.Contains(text, "Plain") {
		t.Errorf("after a busy page: %q, %q", text, failure)
	}
}

func TestClosingThePagesLeavesTheBrowserOpen(t *testing.T) {
	b, at := headlessly(t), site(t)
	for range 10 {
		if _, failure := goTo(t, b, at+"/plain"); failure != "" {
			t.Fatal(failure)
		}
		if text, failure := call(t, b, tool.ClosePage, tool.PageIn{}); text != "Closed the page" {
			t.Errorf("%q, %q", text, failure)
		}
	}
	if !b.running.alive() {
		t.Error("the browser has ended")
	}
}

func TestAPageThatIsClosingIsNotTheActiveOne(t *testing.T) {
	b, at := headlessly(t), site(t)
	browser := b.running.tools.Browser()
	for range 20 {
		id, err := newPage(t.Context(), browser)
		must(t, err)
		must(t, browser.Tell(t.Context(), "Target.closeTarget", map[string]any{"targetId": id}))
		if _, failure := goTo(t, b, at+"/plain"); failure != "" {
			t.Fatal(failure)
		}
	}
}

func TestDownloadsAreToldOf(t *testing.T) {
	b := headlessly(t)
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>Files</title><a id=all href=/all>All</a> <a id=half href=/half>Half</a>")
	})
	m.HandleFunc("GET /all", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="../all.csv"`)
		fmt.Fprint(w, "a,b")
	})
	m.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment; filename=half.csv")
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "a,b")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	if _, failure := goTo(t, b, srv.URL); failure != "" {
		t.Fatal(failure)
	}
	click := func(what string) string {
		text, failure := call(t, b, tool.PagePerform, tool.PagePerformIn{Method: tool.PageClick, Selector: what})
		if failure != "" {
			t.Fatal(failure)
		}
		return string(text)
	}
	text := click("#all")
	_, path, _ := strings.Cut(text, "; downloaded ")
	if content, err := os.ReadFile(path); err != nil || string(content) != "a,b" || filepath.Base(path) != "_all.csv" {
		t.Errorf("%q is %q, %v", text, content, err)
	}
	if text := click("#half"); !strings.Contains(text, `half.csv" has failed`) {
		t.Errorf("one that broke off: %q", text)
	}
	if text := click("body"); text != "Done" {
		t.Errorf("without any: %q", text)
	}
}
