package view

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// embed serves a page with a session's page in a frame, and that page itself,
// behind a reverse proxy such as an operator's.
func (d desk) embed() (address string) {
	d.Helper()
	link, err := d.session.ViewLink(d.Context(), false)
	must(d, err)
	inside, err := url.Parse(link)
	must(d, err)
	routes := http.NewServeMux()
	routes.Handle("/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: inside.Scheme, Host: inside.Host}))
	routes.HandleFunc("/embedding", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>embedding</title><iframe src="%s" style="width:1300px;height:750px" allow="clipboard-read; clipboard-write"></iframe>`, inside.RequestURI())
	})
	proxy := httptest.NewServer(routes)
	d.Cleanup(proxy.Close)
	return proxy.URL + "/embedding"
}

func TestThePageWorksInAFrameBehindAProxy(t *testing.T) {
	d := newDesk(t)
	p := d.browser.open(d.embed())
	const frame = "document.querySelector('iframe').contentDocument"
	element := func(id string) string { return fmt.Sprintf("%s.getElementById('%s')", frame, id) }
	p.wait(element("state") + "?.dataset.state === 'connected'")
	p.wait(strings.ReplaceAll(hasPicture, "document.querySelector('#screen", frame+".querySelector('#screen"))

	// What is copied in the session is on the page, and the other way round.
	clip := func(command string) string {
		out, err := d.session.Command(command).Output(t.Context())
		must(t, err)
		return string(out)
	}
	clip("printf 'from the session 你好' | xclip -selection clipboard >/dev/null 2>&1")
	p.wait(element("cliptext") + ".value === 'from the session 你好'")
	p.eval(element("cliptext") + ".value = 'from the page 再见'")
	p.eval(element("clipsend") + ".click()")
	eventually(t, "what the page puts on the clipboard is in the session", func() bool {
		return clip("xclip -o -selection clipboard || true") == "from the page 再见"
	})
	p.shoot("view-embedded")
}

func TestOthersMayFrameThePage(t *testing.T) {
	d := newDesk(t)
	link, err := d.session.ViewLink(t.Context(), true)
	must(t, err)
	answer, err := http.Get(link)
	must(t, err)
	answer.Body.Close()
	if h := answer.Header; h.Get("X-Frame-Options") != "" || strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors") {
		t.Errorf("the page may not be framed: %v", h)
	}
}
