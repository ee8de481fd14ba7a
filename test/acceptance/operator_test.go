package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// A scripted model is no model: it answers as the test says, by what it is asked.
// It is where the bay of these tests looks for its model.
type scripted struct {
	t      *testing.T
	mu     sync.Mutex
	answer func(asked string) string // guarded by mu
	asked  []string                  // guarded by mu
}

// newScripted serves a scripted model.
func newScripted(t *testing.T) *scripted {
	t.Helper()
	at := os.Getenv("AGENTBAY_TEST_MODEL")
	if at == "" {
		t.Skip("AGENTBAY_TEST_MODEL is not set: the address where the bay looks for its model")
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	m := &scripted{t: t}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: m}}
	srv.Start()
	t.Cleanup(srv.Close)
	return m
}

func (m *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in struct{ Messages []struct{ Content any } }
	if err != nil || json.Unmarshal(body, &in) != nil || r.Header.Get("Authorization") != "Bearer scripted" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var asked strings.Builder
	for _, x := range in.Messages {
		fmt.Fprintln(&asked, x.Content)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, asked.String())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": m.answer(asked.String())}}},
		"usage":   map[string]any{"prompt_tokens": len(body) / 4, "completion_tokens": 20},
	})
}

// says sets how the model answers from now on.
func (m *scripted) says(answer func(asked string) string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer, m.asked = answer, nil
}

// heard is all that the model was asked since.
func (m *scripted) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.asked, "\n")
}

// refIn is the reference of the first line of a page that has a text.
func refIn(asked, line string) string {
	r := regexp.MustCompile(`(?m)^ *` + regexp.QuoteMeta(line) + `.*\[(e[^]]+)\]$`).FindStringSubmatch(asked)
	if r == nil {
		return "e404"
	}
	return r[1]
}

var shop = map[string]string{
	"index.html": `<title>Shop</title><h1>Sign in</h1>
<form onsubmit="event.preventDefault(); if (confirm('Sign in?')) location = 'list1.html#' + user.value + ':' + word.value.length">
<label>User <input id=user></label><label>Password <input id=word type=password></label><button>Sign in</button></form>`,
	"list1.html": `<title>List</title><ul><li>Tea costs 3.50</li><li>Milk costs 1.20</li></ul><a href=list2.html>Next page</a>`,
	"list2.html": `<title>List, end</title><ul><li>Bread costs 2.10</li></ul><iframe src=frame.html></iframe>`,
	"frame.html": `<button onclick="this.textContent = 'Bought'">Buy</button>`,
}

func TestAModelWorksOnPages(t *testing.T) {
	m := newScripted(t)
	s := session(t, "browser_latest")
	b, at := s.Browser(), serveSite(t, s, shop)
	if _, err := b.Navigate(t.Context(), at); err != nil {
		t.Fatal(err)
	}

	m.says(func(asked string) string {
		switch {
		case strings.Contains(asked, `The page is "List"`):
			return `{"done": true, "success": true, "message": "signed in"}`
		case !strings.Contains(asked, `= "%user%"`):
			return fmt.Sprintf(`Here you are: {"actions": [{"method": "fill", "ref": %q, "text": "%%user%%"}, {"method": "fill", "ref": %q, "text": "%%word%%"}]}`,
				refIn(asked, `textbox "User"`), refIn(asked, `textbox "Password"`))
		}
		return fmt.Sprintf(`{"actions": [{"method": "click", "ref": %q, "dialog": "accept"}]}`, refIn(asked, `button "Sign in"`))
	})
	done, err := b.Act(t.Context(), tool.ActIn{Action: "sign in as %user% with %word%", Variables: map[string]string{"user": "Ann", "word": "s3cretWord"}, Vision: true})
	if err != nil || !done.Success || !strings.Contains(done.Steps, "signed in") {
		t.Fatalf("acted: %+v, %v", done, err)
	}
	if where, err := b.Navigate(t.Context(), at+"list1.html"); err != nil || !strings.Contains(where, "List") {
		t.Errorf("%s, %v", where, err)
	}
	if strings.Contains(m.heard(), "s3cretWord") {
		t.Error("the model was told the password")
	}

	m.says(func(asked string) string {
		var items []string
		for _, x := range regexp.MustCompile(`(\w+) costs ([0-9.]+)`).FindAllStringSubmatch(asked, -1) {
			items = append(items, fmt.Sprintf(`{"name": %q, "price": %s}`, x[1], x[2]))
		}
		next := ""
		if strings.Contains(asked, "Next page") {
			next = fmt.Sprintf(`, "next": {"method": "click", "ref": %q}`, refIn(asked, `link "Next page"`))
		}
		return `{"data": {"items": [` + strings.Join(items, ", ") + `]}` + next + `}`
	})
	var list struct {
		Items []struct {
			Name  string
			Price float64
		}
	}
	const schema = `{"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "price": {"type": "number"}}}}}}`
	err = b.Extract(t.Context(), tool.ExtractIn{Instruction: "what things cost", Schema: schema, Pages: 3}, &list)
	if err != nil || len(list.Items) != 3 || list.Items[2].Name != "Bread" || list.Items[0].Price != 3.5 {
		t.Errorf("extracted %+v, %v", list, err)
	}

	m.says(func(asked string) string {
		return fmt.Sprintf(`{"found": [{"ref": %q, "description": "buys", "method": "click"}]}`, refIn(asked, `button "Buy"`))
	})
	found, err := b.Observe(t.Context(), tool.ObserveIn{Instruction: "how to buy"})
	if err != nil || len(found) != 1 || found[0].Method != "click" {
		t.Fatalf("observed %+v, %v", found, err)
	}
	m.says(func(string) string { t.Error("the model is asked what needs none"); return "" })
	if done, err := b.Act(t.Context(), tool.ActIn{Action: agentbay.Action(found[0])}); err != nil || !done.Success {
		t.Errorf("what was observed: %+v, %v", done, err)
	}
	r, err := s.Call(t.Context(), tool.PageSnapshot.Name, tool.PageSnapshotIn{})
	if err != nil || !strings.Contains(r.Text, "Bought") {
		t.Errorf("the page is then %+v, %v", r, err)
	}

	m.says(func(string) string { return "I am only a language model." })
	if done, err := b.Act(t.Context(), tool.ActIn{Action: "x"}); err != nil || done.Success || !strings.Contains(done.Steps, "cannot be used") {
		t.Errorf("of a model that cannot: %+v, %v", done, err)
	}
	if err := b.Extract(t.Context(), tool.ExtractIn{Instruction: "x", Schema: schema}, &list); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("of a model that cannot: %v", err)
	}
	m.says(func(string) string { time.Sleep(2 * time.Second); return "{}" }) // slower than is waited for
	soon := 0.5
	if done, err := b.Act(t.Context(), tool.ActIn{Action: "x", Timeout: &soon}); err != nil || done.Success || !strings.Contains(done.Steps, "not done within 500ms") {
		t.Errorf("of a slow model: %+v, %v", done, err)
	}
}

// A list grows as it is scrolled, and what is downloaded is behind a closed shadow
// tree.
var feed = map[string]string{
	"index.html": `<title>Feed</title><x-files></x-files><ul id=list></ul><script>
let n = 0
const more = () => { for (let i = 0; i < 10 && n < 30; i++) list.append(Object.assign(document.createElement('li'), { textContent: 'Ware costs ' + ++n, style: 'height: 100px' })) }
addEventListener('scroll', () => innerHeight + scrollY >= document.body.scrollHeight - 200 && more())
more()
customElements.define('x-files', class extends HTMLElement { constructor() { super()
	this.attachShadow({ mode: 'closed' }).innerHTML = '<a href=prices.csv download>Prices</a>' } })
</script>`,
	"prices.csv": "ware,1\n",
}

func TestAModelScrollsAndDownloads(t *testing.T) {
	m := newScripted(t)
	s := session(t, "browser_latest")
	b, at := s.Browser(), serveSite(t, s, feed)
	if _, err := b.Navigate(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	m.says(func(asked string) string {
		var prices []string
		for _, x := range regexp.MustCompile(`Ware costs (\d+)`).FindAllStringSubmatch(asked, -1) {
			prices = append(prices, x[1])
		}
		next := `, "next": {"method": "scroll", "amount": 5}`
		if strings.Contains(asked, "Ware costs 30") {
			next = ""
		}
		return `{"data": [` + strings.Join(prices, ", ") + `]` + next + `}`
	})
	var prices []int
	err := b.Extract(t.Context(), tool.ExtractIn{Instruction: "all prices", Schema: `{"type": "array", "items": {"type": "number"}}`, Pages: 10}, &prices)
	if err != nil || len(prices) != 30 || prices[0] != 1 || prices[29] != 30 {
		t.Errorf("read %v, %v", prices, err)
	}
	m.says(func(asked string) string {
		if path := regexp.MustCompile(`downloaded ([^"]+)`).FindStringSubmatch(asked); path != nil {
			return fmt.Sprintf(`{"done": true, "success": true, "message": %q}`, path[1])
		}
		return fmt.Sprintf(`{"actions": [{"method": "click", "ref": %q}]}`, refIn(asked, `link "Prices"`))
	})
	done, err := b.Act(t.Context(), tool.ActIn{Action: "download the prices"})
	if err != nil || !done.Success {
		t.Fatalf("%+v, %v", done, err)
	}
	path := done.Steps[strings.LastIndex(done.Steps, "\n")+1:]
	if content, err := s.FS(t.Context()).ReadFile(strings.TrimPrefix(path, "/")); err != nil || !strings.HasSuffix(string(content), "ware,1\n") {
		t.Errorf("%q is %q, %v", path, content, err)
	}
}

// A task leads over pages to an answer, and ends with its context.
func TestAModelDoesATask(t *testing.T) {
	m := newScripted(t)
	s := session(t, "browser_latest")
	b, at := s.Browser(), serveSite(t, s, shop)
	m.says(func(asked string) string {
		if strings.Contains(asked, "Bread costs 2.10") {
			return `{"done": true, "success": true, "result": {"bread": 2.1}}`
		}
		return fmt.Sprintf(`{"actions": [{"method": "goto", "text": "%slist2.html"}]}`, at)
	})
	in := tool.ExecuteIn{Task: "what does bread cost?", Vision: true, Full: true, Schema: `{"type": "object", "required": ["bread"]}`}
	if answer, err := b.Execute(t.Context(), in); err != nil || answer != `{"bread": 2.1}` {
		t.Errorf("%q, %v", answer, err)
	}
	if !strings.Contains(m.heard(), "data:image/jpeg;base64,") {
		t.Error("the model was shown no picture")
	}
	begun := make(chan bool, 100)
	m.says(func(string) string {
		begun <- true
		return `{"actions": [{"method": "wait", "amount": 0.1}]}`
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if answer, err := b.Execute(ctx, tool.ExecuteIn{Task: "never end"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%q, %v, want that it was cancelled", answer, err)
	}
	m.says(func(string) string { return `{"done": true, "success": false, "message": "there is none"}` })
	if _, err := b.Execute(t.Context(), tool.ExecuteIn{Task: "x"}); !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("without success: %v", err)
	}
}
