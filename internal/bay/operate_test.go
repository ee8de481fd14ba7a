package bay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// A model answers as its function does.
type model func(asked string) string

func (m model) Complete(ctx context.Context, conversation []operator.Message) (operator.Completion, error) {
	var asked strings.Builder
	for _, x := range conversation {
		asked.WriteString(x.Text)
	}
	return operator.Completion{Text: m(asked.String())}, ctx.Err()
}

// withPage makes linux_latest an image whose browser has a page with a button, and
// gives the bay a model, unless that is nil.
func withPage(m model) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		if m != nil {
			b.Operator = &operator.Operator{Model: m}
		}
		b.Images.Build("linux_latest", "sha256:9a6e", image.Config{Dir: "/", Families: []tool.Family{tool.Browser, tool.Desktop}})
		b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
			m := &guest.Mux{Token: spec.Token}
			guest.Handle(m, tool.PageSnapshot, func(context.Context, tool.PageSnapshotIn) (guest.Answer, error) {
				return guest.JSON(tool.PageSnapshotOut{Title: "A", Text: "button \"Send\" [e5]\n"}), nil
			})
			guest.Handle(m, tool.OpenBrowser, func(context.Context, tool.BrowserIn) (guest.Answer, error) {
				return guest.JSON(tool.BrowserOut{Path: "/devtools/browser/1", CallForUser: true}), nil
			})
			guest.Handle(m, tool.PagePerform, func(context.Context, tool.PagePerformIn) (guest.Answer, error) { return guest.Text("Done"), nil })
			guest.Handle(m, tool.PageLocate, func(context.Context, tool.PageLocateIn) (guest.Answer, error) {
				return guest.JSON([]string{"xpath=/a"}), nil
			})
			return m.Handler(), nil
		}
	}
}

func actOf(t *testing.T, text string) (out tool.ActOut) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), &out))
	return out
}

func TestWithoutAModelItIsSaidHowToHaveOne(t *testing.T) {
	b := baytest.New(t, withPage(nil))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	for name, args := range map[string]string{
		tool.ActAsync.Name: `{"action": "x"}`, tool.Observe.Name: `{"instruction": "x"}`, tool.ExtractAsync.Name: `{"instruction": "x", "field_schema": "{}"}`,
		tool.ExecuteTask.Name: `{"task": "x"}`,
	} {
		if text, failed := do(t, s, id, name, args); !failed || !strings.Contains(text, "--llm-url") {
			t.Errorf("%s: %q", name, text)
		}
	}
	text, failed := do(t, s, id, tool.Act.Name, `{"action": "{\"method\": \"click\", \"arguments\": {\"ref\": \"e5\"}}"}`) // which needs none
	if out := actOf(t, text); failed || !out.Done || !out.Success {
		t.Errorf("what was observed: %q", text)
	}
	if text, failed := do(t, s, id, tool.ActResult.Name, `{"task_id": "nonesuch"}`); !failed || !strings.Contains(text, "there is no task") {
		t.Errorf("of no task: %q", text)
	}
	if text, failed := do(t, s, id, tool.Act.Name, `{}`); !failed || !strings.Contains(text, "action is missing") {
		t.Errorf("of no action: %q", text)
	}
}

func TestATaskOnAPageGoesOnByItself(t *testing.T) {
	begun, goOn := make(chan bool, 10), make(chan bool)
	b := baytest.New(t, withPage(func(string) string {
		begun <- true
		<-goOn
		return `{"found": [{"ref": "e5", "description": "a button", "method": "click"}]}`
	}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	var tasks []tool.TaskIn
	for range 4 {
		text, _ := do(t, s, id, tool.ObserveAsync.Name, `{"instruction": "x"}`)
		var task tool.TaskIn
		must(t, json.Unmarshal([]byte(text), &task))
		tasks = append(tasks, task)
		<-begun
	}
	if text, failed := do(t, s, id, tool.ObserveAsync.Name, `{"instruction": "x"}`); !failed || !strings.Contains(text, "4 tasks are under way") {
		t.Errorf("a fifth: %q", text)
	}
	result := func(i int) (string, bool) {
		return do(t, s, id, tool.ObserveResult.Name, fmt.Sprintf(`{"task_id": %q}`, tasks[i].ID))
	}
	if text, failed := result(0); !failed || !strings.HasSuffix(text, "is still under way") {
		t.Errorf("before it is done: %q", text)
	}
	if text, failed := do(t, s, id, tool.ActResult.Name, fmt.Sprintf(`{"task_id": %q}`, tasks[0].ID)); !failed || !strings.Contains(text, "there is no task") {
		t.Errorf("asked for as of another kind: %q", text)
	}
	close(goOn)
	for i := range tasks {
		text, failed := result(i)
		for ; failed && strings.HasSuffix(text, "under way"); text, failed = result(i) {
		}
		if failed || !strings.Contains(text, "a button") {
			t.Errorf("task %d: %q", i, text)
		}
	}
	text, failed := do(t, s, id, tool.Observe.Name, `{"instruction": "x"}`) // which waits
	if failed || !strings.Contains(text, `"selector":"xpath=/a"`) {
		t.Errorf("waited for: %q", text)
	}
}

func TestAPersonHelpsTheModel(t *testing.T) {
	b := baytest.New(t, withPage(func(asked string) string {
		if strings.Contains(asked, "the code is 7") {
			return `{"done": true, "success": true, "message": "logged in"}`
		}
		return `{"help": "read the code on your phone"}`
	}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	v, leave := sit(t, b, s, id, "Ann")
	defer leave()
	asked := v.Desk.Changed()
	text, _ := do(t, s, id, tool.ActAsync.Name, `{"action": "log in", "help_timeout": 60}`)
	var task tool.TaskIn
	must(t, json.Unmarshal([]byte(text), &task))
	for len(v.Desk.State().Help) == 0 {
		<-asked
		asked = v.Desk.Changed()
	}
	if h := v.Desk.State().Help[0]; h.Message != "read the code on your phone" {
		t.Errorf("asked for: %+v", h)
	}
	must(t, v.Desk.Take("Ann"))
	v.Desk.HandBack("Ann", "the code is 7")
	var out tool.ActOut
	for !out.Done {
		text, _ := do(t, s, id, tool.ActResult.Name, fmt.Sprintf(`{"task_id": %q}`, task.ID))
		out = actOf(t, text)
	}
	if !out.Success || !strings.Contains(out.Steps, "logged in") {
		t.Errorf("it is %+v", out)
	}
}

func TestAClientHelpsTheModelWithoutThePage(t *testing.T) {
	b := baytest.New(t, withPage(func(asked string) string {
		if strings.Contains(asked, "a person has done it") {
			return `{"done": true, "success": true, "message": "in"}`
		}
		return `{"help": "log in, please", "kind": "login"}`
	}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	calls := make(chan agentbay.Help, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() {
		b.WatchHelp(ctx, id, func(h agentbay.Help) { calls <- h })
		close(ended)
	}()
	acted := make(chan tool.ActOut)
	go func() {
		text, _ := do(t, s, id, tool.Act.Name, `{"action": "log in"}`) // its browser lets it call
		acted <- actOf(t, text)
	}()
	h := <-calls
	if h.Kind != agentbay.HelpLogin || h.Message != "log in, please" || h.Wait < 2*time.Minute || h.Wait > 3*time.Minute {
		t.Errorf("called for: %+v", h)
	}
	must(t, s.RevokeViews(t.Context(), id)) // people at the page are gone, the call is not
	must(t, s.AnswerHelp(t.Context(), id, h.ID, ""))
	if out := <-acted; !out.Success {
		t.Errorf("it is %+v", out)
	}
	if h := <-calls; h.State != agentbay.HelpDone {
		t.Errorf("then: %+v, want it to be done", h)
	}
	if err := s.AnswerHelp(t.Context(), id, "help-99", ""); agentbay.CodeOf(err) != agentbay.NotFound {
		t.Errorf("of what nobody asked for: %v", err)
	}
	stop()
	<-ended
	text, _ := do(t, s, id, tool.Act.Name, `{"action": "log in", "help_timeout": 0.01}`)
	if out := actOf(t, text); out.Success || !strings.Contains(out.Steps, "nobody has helped") {
		t.Errorf("in vain: %+v", out)
	}
	c, err := s.Control(t.Context(), id)
	must(t, err)
	for _, h := range c.Help {
		if h.State != agentbay.HelpDone {
			t.Errorf("people are still asked for what is no longer waited for: %+v", h)
		}
	}
}

func statusOf(t *testing.T, text string) (out tool.TaskStatusOut) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), &out))
	return out
}

func TestATaskIsFollowedAndTerminated(t *testing.T) {
	asked, goOn := make(chan bool, 10), make(chan string)
	b := baytest.New(t, withPage(func(string) string {
		asked <- true
		return <-goOn
	}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	begin := func(args string) string {
		text, failed := do(t, s, id, tool.ExecuteTask.Name, args)
		var task tool.TaskIn
		must(t, json.Unmarshal([]byte(text), &task))
		if failed {
			t.Fatalf("it did not begin: %s", text)
		}
		return fmt.Sprintf(`{"task_id": %q}`, task.ID)
	}
	task := begin(`{"task": "find the price", "output_schema": "{\"type\": \"object\", \"required\": [\"price\"]}"}`)
	<-asked
	goOn <- `{"actions": [{"method": "click", "ref": "e5"}]}`
	<-asked
	text, _ := do(t, s, id, tool.TaskStatus.Name, task)
	if got := statusOf(t, text); got.Status != tool.TaskRunning || !strings.Contains(got.Action, `"click"`) || got.Product != "" {
		t.Errorf("under way: %s", text)
	}
	goOn <- `{"done": true, "success": true, "result": {"price": 3.5}}`
	got := tool.TaskStatusOut{Status: tool.TaskRunning}
	for got.Status == tool.TaskRunning {
		text, _ = do(t, s, id, tool.TaskStatus.Name, task)
		got = statusOf(t, text)
	}
	if got.Status != tool.TaskFinished || got.Product != `{"price": 3.5}` {
		t.Errorf("finished: %s", text)
	}
	if text, failed := do(t, s, id, tool.TerminateTask.Name, task); !failed || !strings.HasPrefix(text, "Task not found or already finished") {
		t.Errorf("terminated when it was finished: %s", text)
	}

	task = begin(`{"task": "never end"}`)
	<-asked
	go func() { goOn <- "{}" }() // the model's answer comes too late
	text, failed := do(t, s, id, tool.TerminateTask.Name, task)
	if got := statusOf(t, text); failed || got.Status != tool.TaskFailed || got.Error != "the task was terminated" {
		t.Errorf("terminated: %s", text)
	}
	if text, failed := do(t, s, id, tool.TaskStatus.Name, `{"task_id": "nonesuch"}`); !failed || !strings.HasPrefix(text, "Task not found or already finished") {
		t.Errorf("of no task: %s", text)
	}
	if text, failed := do(t, s, id, tool.Login.Name, `{"login_config": "{}"}`); !failed || !strings.Contains(text, "page_use_act") {
		t.Errorf("a login: %s", text)
	}
}

func TestWhatAKeyHasUsedIsCounted(t *testing.T) {
	b := baytest.New(t, withPage(func(string) string { return `{"done": true, "success": true, "message": "x"}` }))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	for range 2 {
		do(t, s, id, tool.Act.Name, `{"action": "x"}`)
	}
	k, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	all, err := b.Store.Usage(t.Context(), k.ID)
	must(t, err)
	if len(all) != 1 || all[0].Session != id || all[0].Requests != 2 {
		t.Errorf("%+v", all)
	}
}

func TestAKeyMayHaveAModelOfItsOwn(t *testing.T) {
	says := func(name string) model {
		return func(string) string { return `{"done": true, "success": true, "message": "` + name + `"}` }
	}
	made := 0
	b := baytest.New(t, withPage(says("the bay's")), func(b *baytest.Bay) {
		b.OperatorOf = func(m store.KeyModel) *operator.Operator {
			made++
			return &operator.Operator{Model: says(m.Name + " " + m.Secret)}
		}
	})
	s, other := b.Service(t, "mine"), b.Service(t, "theirs")
	id, theirs := create(t, s, agentbay.SessionSpec{}), create(t, other, agentbay.SessionSpec{})
	k, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	asked := func(want string) {
		t.Helper()
		if out, _ := do(t, s, id, tool.Act.Name, `{"action": "x"}`); !strings.Contains(out, want) {
			t.Errorf("%s, want %s", out, want)
		}
		if out, _ := do(t, other, theirs, tool.Act.Name, `{"action": "x"}`); !strings.Contains(out, "the bay's") {
			t.Errorf("another key: %s", out)
		}
	}
	asked("the bay's")
	must(t, b.Store.SetKeyModel(t.Context(), k.ID, store.KeyModel{URL: "https://a/v1", Name: "own", Secret: "s1"}))
	asked("own s1")
	asked("own s1")
	must(t, b.Store.SetKeyModel(t.Context(), k.ID, store.KeyModel{URL: "https://a/v1", Name: "own", Secret: "s2"}))
	b.MaxTokensPerKey = 1 // of the bay's model
	must(t, b.Store.AddUsage(t.Context(), k.ID, store.Usage{Session: id, Requests: 1, TokensIn: 100}, time.Now()))
	asked("own s2")
	if made != 2 {
		t.Errorf("%d models were made, want one for each that was configured", made)
	}
	must(t, b.Store.SetKeyModel(t.Context(), k.ID, store.KeyModel{}))
	asked("may use 1 a day")
}

func TestAKeyHasATokenLimitADay(t *testing.T) {
	b := baytest.New(t, withPage(func(string) string { return `{"done": true, "success": true, "message": "x"}` }))
	b.MaxTokensPerKey = 1000
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	k, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	count := func(tokens int64, at time.Time) {
		must(t, b.Store.AddUsage(t.Context(), k.ID, store.Usage{Session: id, Requests: 1, TokensIn: tokens}, at))
	}
	count(5000, time.Now().Add(-24*time.Hour)) // of the day before
	count(999, time.Now())
	if out, _ := do(t, s, id, tool.Act.Name, `{"action": "x"}`); strings.Contains(out, "this API key has used") {
		t.Errorf("with a token left: %s", out)
	}
	count(1000, time.Now())
	if out, _ := do(t, s, id, tool.Act.Name, `{"action": "x"}`); !strings.Contains(out, "may use 1000 a day") {
		t.Errorf("with none left: %s", out)
	}
	other := b.Service(t, "theirs")
	if out, _ := do(t, other, create(t, other, agentbay.SessionSpec{}), tool.Act.Name, `{"action": "x"}`); strings.Contains(out, "this API key has used") {
		t.Errorf("another key: %s", out)
	}
}
