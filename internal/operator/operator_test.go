package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/tool"
)

// A page is one that does what is asked of it and remembers it. A click on e9
// leads to the next of its texts.
type page struct {
	texts []string
	at    int
	done  []tool.PagePerformIn
	err   error

	helper string   // what a person says who has helped; empty if nobody does
	calls  []string // for help
}

func (p *page) Snapshot(_ context.Context, in tool.PageSnapshotIn) (tool.PageSnapshotOut, error) {
	out := tool.PageSnapshotOut{URL: "https://a.example", Title: "A", Text: p.texts[p.at]}
	if in.Vision {
		out.Picture = "/9j/"
	}
	return out, p.err
}

func (p *page) Locate(_ context.Context, in tool.PageLocateIn) ([]string, error) {
	var all []string
	for _, r := range in.Refs {
		all = append(all, "xpath=/"+r)
	}
	return all, p.err
}

func (p *page) Perform(_ context.Context, in tool.PagePerformIn) (tool.Result, error) {
	p.done = append(p.done, in)
	switch in.Ref {
	case "e9":
		p.at++
	case "e4":
		return tool.Result{Failed: true, Text: "it is not shown"}, p.err
	}
	return tool.Result{Text: "Done"}, p.err
}

func (p *page) Help(ctx context.Context, kind agentbay.HelpKind, message string) (string, error) {
	p.calls = append(p.calls, string(kind)+": "+message)
	if p.helper == "" {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	return p.helper, nil
}

// A script is a model's answers, in order, and the requests that came for them.
type script struct {
	answers []string
	asked   []string // bodies of requests
}

// model serves a script as an OpenAI-compatible API does.
func model(t *testing.T, answers ...string) (*operator.Operator, *script) {
	t.Helper()
	s := &script{answers: answers}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		s.asked = append(s.asked, string(b))
		if len(s.asked) > len(s.answers) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": {"message": "no such key"}}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{
			"choices": []any{map[string]any{"message": map[string]any{"role": "assistant", "content": s.answers[len(s.asked)-1]}}},
			"usage":   map[string]any{"prompt_tokens": 100, "completion_tokens": 10},
		})
	}))
	t.Cleanup(srv.Close)
	return &operator.Operator{Model: operator.NewEndpoint(srv.URL+"/v1", "scripted", "secret", 1)}, s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAModelActsUntilItIsDone(t *testing.T) {
	p := &page{texts: []string{"textbox \"Name\" = \"s3cret\" [e1]\nbutton \"Send\" [e4]\nbutton \"Other\" [e5]\n"}}
	o, s := model(t,
		"Certainly!\n```json\n{\"actions\": [{\"method\": \"fill\", \"ref\": \"e1\", \"text\": \"%name%\"}, {\"method\": \"click\", \"ref\": \"e4\"}, {\"method\": \"back\"}]}\n```",
		`{"actions": [{"method": "click", "ref": "e5"}], "done": true, "success": true, "message": "sent"}`)
	out, err := o.Act(t.Context(), p, operator.ActIn{Action: "send %name%", Variables: map[string]string{"name": "s3cret"}, Vision: true})
	must(t, err)
	if !out.Success || out.Message != "sent" || len(out.Steps) != 3 || !out.Steps[1].Failed || out.Steps[2].Ref != "e5" || out.Usage != (operator.Usage{Requests: 2, In: 200, Out: 20}) {
		t.Errorf("%+v", out)
	}
	if len(p.done) != 3 || p.done[0].Text != "s3cret" {
		t.Errorf("done: %+v", p.done)
	}
	if asked := strings.Join(s.asked, ""); strings.Contains(asked, "s3cret") || !strings.Contains(s.asked[1], "it is not shown") || !strings.Contains(s.asked[0], "data:image/jpeg;base64,/9j/") {
		t.Errorf("the model was asked %s", asked)
	}
}

func TestAnAnswerThatMakesNoSenseIsAskedForAgain(t *testing.T) {
	p := &page{texts: []string{"button \"Send\" [e5]\n"}}
	wrong := []string{"I would rather not", `{"actions": [{"method": "click", "ref": "e77"}]}`, `{"actions": [{"method": "explode"}]}`, `{"done": false}`}
	o, s := model(t, wrong[0], wrong[1], `{"done": true, "success": false, "message": "there is nothing to do"}`)
	out, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"})
	if err != nil || out.Success || out.Message != "there is nothing to do" || len(p.done) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if !strings.Contains(s.asked[1], "no JSON object") || !strings.Contains(s.asked[2], "no reference") {
		t.Errorf("the model was told %s", s.asked[1:])
	}
	o, _ = model(t, wrong[1:]...)
	if _, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"}); err == nil || !strings.Contains(err.Error(), "cannot be used") || len(p.done) != 0 {
		t.Errorf("wrong all the time: %v, %+v", err, p.done)
	}
}

func TestATaskHasBounds(t *testing.T) {
	p := &page{texts: []string{"button \"Send\" [e5]\n"}}
	again := `{"actions": [{"method": "click", "ref": "e5"}]}`
	var many []string
	for range 30 {
		many = append(many, again)
	}
	o, s := model(t, many...)
	if out, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"}); err != nil || out.Success || !strings.Contains(out.Message, "not done after 25") || len(s.asked) != 25 {
		t.Errorf("without end: %+v, %v", out, err)
	}
	o, s = model(t, many...)
	o.MaxTokens = 250
	if _, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"}); err == nil || !strings.Contains(err.Error(), "330 tokens") || len(s.asked) != 3 {
		t.Errorf("with few tokens: %v, after %d", err, len(s.asked))
	}
	o, _ = model(t)
	if _, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"}); err == nil || !strings.Contains(err.Error(), "AGENTBAY_LLM_KEY") || strings.Contains(err.Error(), "secret") {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	o, _ = model(t, again)
	if _, err := o.Act(ctx, p, operator.ActIn{Action: "x"}); err == nil || err.Error() != "enough" {
		t.Errorf("cancelled: %v", err)
	}
	p.err = errors.New("the session has ended")
	if _, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"}); err == nil || err.Error() != "the session has ended" {
		t.Errorf("of a session that has ended: %v", err)
	}
}

func TestAModelCallsAPersonIfItMay(t *testing.T) {
	const call, done = `{"help": "solve the captcha", "kind": "Captcha"}`, `{"done": true, "success": true, "message": "in"}`
	p := &page{texts: []string{"button \"Send\" [e5]\n"}, helper: "solved it"}
	o, s := model(t, call, done)
	out, err := o.Act(t.Context(), p, operator.ActIn{Action: "log in", Help: time.Minute})
	must(t, err)
	if !out.Success || len(p.calls) != 1 || p.calls[0] != "captcha: solve the captcha" || !strings.Contains(s.asked[1], "solved it") {
		t.Errorf("%+v, called with %q, then asked %s", out, p.calls, s.asked[1])
	}
	p = &page{texts: p.texts}
	o, _ = model(t, call, done)
	if out, err = o.Act(t.Context(), p, operator.ActIn{Action: "log in", Help: time.Millisecond}); err != nil || len(out.Steps) != 1 || !out.Steps[0].Failed || !strings.Contains(out.Steps[0].Result, "nobody has helped within 1ms") {
		t.Errorf("without an answer: %+v, %v", out, err)
	}
	o, s = model(t, call, done)
	if out, err = o.Act(t.Context(), p, operator.ActIn{Action: "log in"}); err != nil || len(out.Steps) != 0 || !strings.Contains(s.asked[1], "nobody to help") || strings.Contains(s.asked[0], "captcha") {
		t.Errorf("if it may not: %+v, %v", out, err)
	}
}

func TestWhatIsObservedCanBeDoneWithoutAModel(t *testing.T) {
	p := &page{texts: []string{"textbox \"Name\" [e1]\nbutton \"Send\" [e4]\n"}}
	o, _ := model(t, `{"found": [{"ref": "e1", "description": "the name", "method": "fill", "text": "Ann"}, {"ref": "e4", "description": "the button", "method": "click"}]}`)
	found, _, err := o.Observe(t.Context(), p, operator.SearchIn{Instruction: "the form"})
	must(t, err)
	want := tool.Observation{Selector: "xpath=/e1", Description: "the name", Method: "fill", Arguments: `{"ref":"e1","selector":"xpath=/e1","text":"Ann"}`}
	if len(found) != 2 || found[0] != want {
		t.Fatalf("found %+v", found)
	}
	for i, success := range []bool{true, true} { // the second by its selector, as its reference is not shown
		in, ok := operator.Observed(fmt.Sprintf(`{"method": %q, "arguments": %s}`, found[i].Method, found[i].Arguments))
		if !ok {
			t.Fatalf("%+v is not read", found[i])
		}
		out, err := operator.Perform(t.Context(), p, in)
		if err != nil || out.Success != success {
			t.Errorf("%+v: %+v, %v", in, out, err)
		}
	}
	if len(p.done) != 3 || p.done[0].Ref != "e1" || p.done[0].Text != "Ann" || p.done[2].Ref != "" || p.done[2].Selector != "xpath=/e4" {
		t.Errorf("done: %+v", p.done)
	}
	for _, words := range []string{"click the button", `{"a": 1}`, "{", ""} {
		if _, ok := operator.Observed(words); ok {
			t.Errorf("%q is taken for what was observed", words)
		}
	}
	o, _ = model(t, `{"found": []}`)
	if found, _, err := o.Observe(t.Context(), p, operator.SearchIn{}); err != nil || found == nil || len(found) != 0 {
		t.Errorf("nothing is found: %v, %v", found, err)
	}
}

const schema = `schema: {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}}}}`

func TestPagesAreReadBySchema(t *testing.T) {
	p := &page{texts: []string{"A costs 3\nlink \"Next\" [e9]\n", "B costs 4\n", "never"}}
	o, s := model(t,
		`{"data": {"items": [{"price": "three"}]}}`,
		`{"data": {"items": [{"price": 3}]}, "next": {"method": "click", "ref": "e9"}}`,
		`{"data": {"items": [{"price": 4}]}}`)
	read, used, err := o.Extract(t.Context(), p, operator.ExtractIn{SearchIn: operator.SearchIn{Instruction: "prices"}, Schema: schema, Pages: 5})
	if err != nil || string(read) != `{"items":[{"price":3},{"price":4}]}` || used.Requests != 3 {
		t.Errorf("read %s, %+v, %v", read, used, err)
	}
	if !strings.Contains(s.asked[1], "want number") {
		t.Errorf("the model was told %s", s.asked[1])
	}
	for bad, want := range map[string]string{
		"":                               "the schema is none",
		"{":                              "the schema is none",
		`{"$ref": "file:///etc/passwd"}`: "outside itself",
		`{"type": "nonesuch"}`:           "the schema is none",
	} {
		o, s := model(t, "{}")
		if _, _, err := o.Extract(t.Context(), p, operator.ExtractIn{Schema: bad}); err == nil || !strings.Contains(err.Error(), want) || len(s.asked) != 0 {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzModelAnswers(f *testing.F) {
	f.Add(`{"actions": [{"method": "click", "ref": "e5"}]}`)
	f.Add("{{{{")
	f.Fuzz(func(t *testing.T, answer string) {
		o := &operator.Operator{Model: said(answer)}
		p := &page{texts: []string{"button \"Send\" [e5]\n"}}
		out, err := o.Act(t.Context(), p, operator.ActIn{Action: "x"})
		for _, d := range p.done {
			if d.Ref != "" && d.Ref != "e5" {
				t.Errorf("%q did %+v", answer, d)
			}
		}
		if err == nil && len(out.Steps) > 25*8 {
			t.Errorf("%q did %d steps", answer, len(out.Steps))
		}
	})
}

// said is a model that says the same all the time.
type said string

func (s said) Complete(context.Context, []operator.Message) (operator.Completion, error) {
	return operator.Completion{Text: string(s)}, nil
}

func TestATaskEndsWithAResultAsItsSchemaHasIt(t *testing.T) {
	p := &page{texts: []string{"button \"Send\" [e5]\n"}}
	o, s := model(t,
		`{"actions": [{"method": "click", "ref": "e5"}], "note": "tea: 3.50"}`,
		`{"done": true, "success": true}`,
		`{"done": true, "success": true, "result": {"price": "3.50"}}`,
		`{"done": true, "success": true, "result": {"price": 3.5}}`)
	var told []string
	out, err := o.Act(t.Context(), p, operator.ActIn{
		Action: "find the price", Schema: `{"type": "object", "properties": {"price": {"type": "number"}}}`,
		Told: func(s operator.Step) { told = append(told, s.Method+" "+s.Ref) },
	})
	must(t, err)
	if !out.Success || string(out.Result) != `{"price": 3.5}` || len(told) != 2 || told[0] != "note " || told[1] != "click e5" {
		t.Errorf("%+v, told %q", out, told)
	}
	if !strings.Contains(s.asked[0], "nothing made up") || !strings.Contains(s.asked[1], "tea: 3.50") || !strings.Contains(s.asked[2], "no result") || !strings.Contains(s.asked[3], "number") {
		t.Errorf("it was asked %q", s.asked)
	}
	if _, err := o.Act(t.Context(), p, operator.ActIn{Action: "x", Schema: "{"}); err == nil || !strings.Contains(err.Error(), "schema") {
		t.Errorf("of a schema that is none: %v", err)
	}
	o, _ = model(t, `{"done": true, "success": false, "message": "there is none"}`)
	if out, err := o.Act(t.Context(), p, operator.ActIn{Action: "x", Schema: "{}"}); err != nil || out.Success || out.Message != "there is none" {
		t.Errorf("without success: %+v, %v", out, err)
	}
}

func TestARefusalForNowIsAskedAgain(t *testing.T) {
	for refusals, want := range map[int]string{2: "", 9: "so many requests (429)"} {
		asked := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked <= refusals {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"choices": [{"message": {"role": "assistant", "content": "{\"done\": true, \"success\": true, \"message\": \"x\"}"}}]}`)
		}))
		defer srv.Close()
		o := &operator.Operator{Model: operator.NewEndpoint(srv.URL, "scripted", "", 1)}
		_, err := o.Act(t.Context(), &page{texts: []string{"button \"Send\" [e5]\n"}}, operator.ActIn{Action: "x"})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("after %d refusals: %v, want %q", refusals, err, want)
		}
	}
}

func TestEachAnswerIsCountedAtOnce(t *testing.T) {
	o, _ := model(t, "nonsense", `{"actions": [{"method": "click", "ref": "e5"}]}`) // and then a refusal
	var sum operator.Usage
	o.Used = func(u operator.Usage) {
		sum.Requests, sum.In, sum.Out = sum.Requests+u.Requests, sum.In+u.In, sum.Out+u.Out
	}
	if out, err := o.Act(t.Context(), &page{texts: []string{"button \"Send\" [e5]\n"}}, operator.ActIn{Action: "x"}); err == nil {
		t.Errorf("%+v", out)
	}
	if want := (operator.Usage{Requests: 3, In: 200, Out: 20}); sum != want {
		t.Errorf("counted %+v, want %+v", sum, want)
	}
}

func TestListsThatGrowAreReadOnce(t *testing.T) {
	const schema = `{"type": "object", "properties": {"items": {"type": "array"}}}`
	scroll, click := `{"method": "scroll", "amount": 1}`, `{"method": "click", "ref": "e5"}`
	for name, x := range map[string]struct {
		next string
		read []string
		want string
	}{
		"all of it again":     {scroll, []string{`[1, 2]`, `[1, 2, 3]`, `[1, 2, 3, 4]`}, `{"items":[1,2,3,4]}`},
		"what is in view":     {scroll, []string{`[1, 2, 3]`, `[2, 3, 4]`, `[5]`}, `{"items":[1,2,3,4,5]}`},
		"nothing more":        {scroll, []string{`[1, 2]`, `[1, 2]`}, `{"items":[1,2]}`},
		"pages that are like": {click, []string{`[1, 2]`, `[2, 2]`}, `{"items":[1,2,2,2]}`},
	} {
		var answers []string
		for i, list := range x.read {
			next := ""
			if i < len(x.read)-1 {
				next = `, "next": ` + x.next
			}
			answers = append(answers, `{"data": {"items": `+list+`}`+next+`}`)
		}
		o, _ := model(t, answers...)
		in := operator.ExtractIn{SearchIn: operator.SearchIn{Instruction: "x"}, Schema: schema, Pages: 5}
		out, _, err := o.Extract(t.Context(), &page{texts: []string{"button \"More\" [e5]\n"}}, in)
		if err != nil || string(out) != x.want {
			t.Errorf("%s: %s, %v, want %s", name, out, err, x.want)
		}
	}
}
