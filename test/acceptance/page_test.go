package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"regexp"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// sitePort is the port of a session's own web server.
const sitePort = 8123

// serveSite serves pages in a session to its browser, and returns their address.
func serveSite(t *testing.T, s *agentbay.Session, pages map[string]string) string {
	t.Helper()
	for name, page := range pages {
		if err := s.FS(t.Context()).WriteFile("home/wuying/site/"+name, []byte("<!doctype html><meta charset=utf-8>"+page)); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, s, fmt.Sprintf(`cd ~/site; setsid python3 -m http.server -b 127.0.0.1 %d >/dev/null 2>&1 </dev/null &
until curl -so /dev/null 127.0.0.1:%[1]d/; do sleep 0.1; done`, sitePort))
	return fmt.Sprintf("http://127.0.0.1:%d/", sitePort)
}

func TestPages(t *testing.T) {
	s := session(t, "browser_latest")
	at := serveSite(t, s, map[string]string{
		"index.html": "<title>Start</title><body style='margin:0'><div style='height:4000px;background:teal'>Hello</div>",
		"ask.html":   "<title>Ask</title><script>alert('Hello, agent')</script>",
	})
	b := s.Browser()
	text, err := b.Navigate(t.Context(), at) // which opens the browser
	if err != nil || !strings.Contains(text, `"Start"`) {
		t.Errorf("navigated: %q, %v", text, err)
	}
	height := func(in tool.PageScreenshotIn) int {
		t.Helper()
		picture, err := b.Screenshot(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		return img.Bounds().Dy()
	}
	shown := false
	if all, part := height(tool.PageScreenshotIn{}), height(tool.PageScreenshotIn{Full: &shown}); all != 4000 || part >= 1080 {
		t.Errorf("the pictures are %d and %d pixels high", all, part)
	}
	if text, err := b.Navigate(t.Context(), at+"ask.html"); err != nil || !strings.Contains(text, `alert "Hello, agent"`) {
		t.Errorf("a page with a dialog: %q, %v", text, err)
	}
	if _, err := b.Navigate(t.Context(), "http://127.0.0.1:1/"); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), "cannot go to") {
		t.Errorf("nothing is there: %v", err)
	}
	for range 2 {
		if err := b.ClosePage(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if text, err := b.Navigate(t.Context(), at); err != nil || !strings.Contains(text, `"Start"`) {
		t.Errorf("after its pages were closed: %q, %v", text, err)
	}
}

// A page is printed on paper of the size that is asked for.
func TestAPageIsPrinted(t *testing.T) {
	b := session(t, "browser_latest").Browser()
	if _, err := b.Navigate(t.Context(), "data:text/html,<h1>One</h1><h1 style='break-before: page'>Two</h1>"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		in     tool.PagePDFIn
		sheets int
		box    string
	}{
		{tool.PagePDFIn{}, 2, "[0 0 595"},
		{tool.PagePDFIn{Paper: "Letter", Landscape: true, Background: true, Ranges: "2"}, 1, "[0 0 792"},
	} {
		pdf, err := b.PDF(t.Context(), x.in)
		if err != nil {
			t.Fatal(err)
		}
		sheets := len(regexp.MustCompile(`/Type /Page\b`).FindAll(pdf, -1))
		if !bytes.HasPrefix(pdf, []byte("%PDF-")) || sheets != x.sheets || !bytes.Contains(pdf, []byte("/MediaBox "+x.box)) {
			t.Errorf("%+v: %d sheets, of a file that begins with %.40q, want %d with a box of %s", x.in, sheets, pdf, x.sheets, x.box)
		}
	}
	for want, in := range map[string]tool.PagePDFIn{"no paper": {Paper: "papyrus"}, "refuses": {Ranges: "x"}} {
		if _, err := b.PDF(t.Context(), in); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want Invalid, with %q", in, err, want)
		}
	}
}
