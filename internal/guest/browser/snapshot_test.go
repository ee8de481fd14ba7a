package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/tool"
)

const form = `<!doctype html><title>Form</title>
<h1>Sign <b>up</b></h1>
<form onsubmit="event.preventDefault(); out.textContent = [...new FormData(this)].map(x => x.join('=')).join('&')">
<label>Name <input name=name value=old></label>
<label>Born <input name=born type=date></label>
<label>Colour <select name=colour><option>Red<option>Deep blue</select></label>
<label><input name=agree type=checkbox>I agree</label>
<textarea name=note aria-label=Note></textarea>
<button>Send</button></form>
<p id=out></p>
<button disabled>Later</button>
<button onclick="out.textContent = confirm('Sure?') ? 'yes' : 'no'">Ask</button>
<a href="/plain">Leave</a>
<div onclick="out.textContent = 'div'" tabindex=0>Clickable</div>
<x-box></x-box>
<iframe src="/inner" title=Same></iframe>
<iframe src="%s/inner" title=Other></iframe>
<script>
customElements.define('x-box', class extends HTMLElement { constructor() { super()
	this.attachShadow({mode: 'closed'}).innerHTML = '<button>Shadow</button>'
	this.shadowRoot ?? 0 }})
</script>`

// forms is a page with a form, frames of the same and of another site, and a
// shadow tree.
func forms(t *testing.T) string {
	t.Helper()
	m := http.NewServeMux()
	var other string
	m.HandleFunc("GET /form", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, form, other) })
	m.HandleFunc("GET /inner", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><button onclick='this.textContent = \"Pressed\"'>Inner of %s</button><input aria-label=Field>", strings.Split(r.Host, ":")[0])
	})
	m.HandleFunc("GET /plain", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!doctype html><title>Plain</title><p>Hello")
	})
	srv := httptest.NewServer(m)
	t.Cleanup(srv.Close)
	other = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return srv.URL
}

// A reader is a browser at a page.
type reader struct {
	*testing.T
	browser *Browser
}

func (r reader) read(in tool.PageSnapshotIn) tool.PageSnapshotOut {
	r.Helper()
	out, failure := call(r.T, r.browser, tool.PageSnapshot, in)
	if failure != "" {
		r.Fatal(failure)
	}
	return out
}

// ref is the reference of the first thing whose line begins so.
func (r reader) ref(line string) string {
	r.Helper()
	text := r.read(tool.PageSnapshotIn{}).Text
	m := regexp.MustCompile(`(?m)^ *` + regexp.QuoteMeta(line) + `.*\[(e[^]]+)\]`).FindStringSubmatch(text)
	if m == nil {
		r.Fatalf("there is no %q in\n%s", line, text)
	}
	return m[1]
}

func (r reader) do(in tool.PagePerformIn) {
	r.Helper()
	if text, failure := call(r.T, r.browser, tool.PagePerform, in); failure != "" || !strings.HasPrefix(string(text), "Done") {
		r.Errorf("%+v: %q, %s", in, text, failure)
	}
}

func (r reader) shows(what string) {
	r.Helper()
	if text := r.read(tool.PageSnapshotIn{}).Text; !strings.Contains(text, what) {
		r.Errorf("there is no %q in\n%s", what, text)
	}
}

func newReader(t *testing.T, address string) reader {
	t.Helper()
	b := headlessly(t)
	if _, failure := goTo(t, b, address); failure != "" {
		t.Fatal(failure)
	}
	return reader{t, b}
}

func TestASnapshotHasWhatAPersonSees(t *testing.T) {
	at := forms(t)
	r := newReader(t, at+"/form")
	out := r.read(tool.PageSnapshotIn{Vision: true})
	for _, want := range []string{
		`heading "Sign up" [e`, `textbox "Name" = "old" [e`, `checkbox "I agree" [e`, `button "Later" disabled [e`, `link "Leave" [e`,
		`combobox "Colour"`, `option "Deep blue"`, `Clickable`, `button "Shadow" [e`, `button "Inner of 127.0.0.1" [e`, `button "Inner of localhost" [e`,
	} {
		if !strings.Contains(out.Text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if out.Title != "Form" || out.URL != at+"/form" || out.Page == "" || out.Cut || out.Picture == "" || t.Failed() {
		t.Errorf("%s, %s, %s, %v:\n%s", out.Title, out.URL, out.Page, out.Cut, out.Text)
	}
	if out := r.read(tool.PageSnapshotIn{Limit: 100}); !out.Cut || len(out.Text) > 100 {
		t.Errorf("of at most 100 bytes: %d, %v", len(out.Text), out.Cut)
	}
	if out := r.read(tool.PageSnapshotIn{Selector: "form"}); strings.Contains(out.Text, "Leave") || !strings.Contains(out.Text, "Send") {
		t.Errorf("the form alone:\n%s", out.Text)
	}
	for selector, want := range map[string]string{"[": "no selector", "#nonesuch": "nothing in the page", "xpath=//b[": "no selector"} {
		if _, failure := call(t, r.browser, tool.PageSnapshot, tool.PageSnapshotIn{Selector: selector}); !strings.Contains(failure, want) {
			t.Errorf("%s: %q", selector, failure)
		}
	}
	paths, failure := call(t, r.browser, tool.PageLocate, tool.PageLocateIn{Refs: []string{r.ref(`link "Leave"`), r.ref(`button "Shadow"`), r.ref(`button "Inner of localhost"`)}})
	if failure != "" || len(paths) != 3 || paths[0] != "xpath=/html/body/a" || paths[1] != "" || paths[2] != "" {
		t.Errorf("located: %q, %s", paths, failure)
	}
}

func TestAFormIsFilledIn(t *testing.T) {
	r := newReader(t, forms(t)+"/form")
	r.do(tool.PagePerformIn{Method: tool.PageFill, Ref: r.ref(`textbox "Name"`), Text: "Zoë 你好"})
	r.do(tool.PagePerformIn{Method: tool.PageType, Selector: "[name=name]", Text: "!"})
	r.do(tool.PagePerformIn{Method: tool.PageFill, Selector: "[name=born]", Text: "2001-02-03"})
	r.do(tool.PagePerformIn{Method: tool.PageSelect, Selector: "[name=colour]", Text: "deep blue"})
	r.do(tool.PagePerformIn{Method: tool.PageClick, Ref: r.ref(`checkbox "I agree"`)})
	r.do(tool.PagePerformIn{Method: tool.PageFill, Ref: r.ref(`textbox "Note"`), Text: "one"})
	r.do(tool.PagePerformIn{Method: tool.PagePress, Key: "Control+a"})
	r.do(tool.PagePerformIn{Method: tool.PagePress, Key: "x"})
	r.do(tool.PagePerformIn{Method: tool.PagePress, Selector: "xpath=//input[@name='name']", Key: "Enter"})
	r.shows("name=Zoë 你好!&born=2001-02-03&colour=Deep blue&agree=on&note=x")
}

func TestThingsArePressedWhereverTheyAre(t *testing.T) {
	r := newReader(t, forms(t)+"/form")
	r.do(tool.PagePerformIn{Method: tool.PageClick, Ref: r.ref(`button "Ask"`)})
	r.shows("\nno\n")
	r.do(tool.PagePerformIn{Method: tool.PageClick, Ref: r.ref(`button "Ask"`), Dialog: "accept"})
	r.shows("\nyes\n")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		r.do(tool.PagePerformIn{Method: tool.PageClick, Ref: r.ref(fmt.Sprintf("button %q", "Inner of "+host))})
		r.shows(`button "Pressed"`)
	}
	r.do(tool.PagePerformIn{Method: tool.PageFill, Ref: r.ref(`textbox "Field"`), Text: "inside"})
	r.shows(`textbox "Field" = "inside"`)
	leave := r.ref(`link "Leave"`)
	r.do(tool.PagePerformIn{Method: tool.PageClick, Ref: leave})
	r.shows("Hello")
	if _, failure := call(t, r.browser, tool.PagePerform, tool.PagePerformIn{Method: tool.PageClick, Ref: leave}); !strings.Contains(failure, "another snapshot") {
		t.Errorf("what is gone: %q", failure)
	}
	r.do(tool.PagePerformIn{Method: tool.PageBack})
	r.shows("Sign up")
	r.do(tool.PagePerformIn{Method: tool.PageScroll, Amount: 1})
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	r := newReader(t, forms(t)+"/form")
	for want, in := range map[string]tool.PagePerformIn{
		"no method":           {Method: "explode"},
		"needs a ref":         {Method: tool.PageClick},
		"no reference":        {Method: tool.PageClick, Ref: "twelve"},
		"nothing e99999999":   {Method: tool.PageClick, Ref: "e99999999"},
		"frame of":            {Method: tool.PageClick, Ref: "e1@nonesuch"},
		"nothing in the page": {Method: tool.PageClick, Selector: "#nonesuch"},
		"needs a key":         {Method: tool.PagePress},
		"no key \"F99\"":      {Method: tool.PagePress, Key: "F99"},
		"to hold":             {Method: tool.PagePress, Key: "Hyper+a"},
		"the options are":     {Method: tool.PageSelect, Selector: "select", Text: "Green"},
		"does not take":       {Method: tool.PageFill, Selector: "[name=born]", Text: "yesterday"},
		"nothing can be":      {Method: tool.PageFill, Selector: "h1", Text: "x"},
		"is accepted or":      {Method: tool.PageClick, Selector: "h1", Dialog: "maybe"},
		"not shown":           {Method: tool.PageClick, Selector: "script"},
	} {
		if _, failure := call(t, r.browser, tool.PagePerform, in); !strings.Contains(failure, want) {
			t.Errorf("%+v: %q, want %q", in, failure, want)
		}
	}
}
