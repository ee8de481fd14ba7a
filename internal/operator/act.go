package operator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// An ActIn is a task of doing something.
type ActIn struct {
	Page      string // target ID; empty is the active page
	Action    string
	Variables map[string]string // %name% in Action stands for one; the model does not see their values
	Vision    bool              // the model is shown a picture of the page, too
	Whole     bool              // the picture shows all of the page
	Schema    string            // JSON schema of the result; none is asked for if it is empty
	Turns     int               // of the model at most; 0 means 25
	Told      func(Step)        // is told of each step; may be nil
	Help      time.Duration     // how long the people at the screen may take whom the model asks for help; 0 means that it asks nobody
}

// A Step is something that was done, or not.
type Step struct {
	Action
	Failed bool   `json:"failed,omitempty"`
	Result string `json:"result"`
}

// An Action is one thing to be done in a page.
type Action struct {
	Method string  `json:"method"`
	Ref    string  `json:"ref,omitempty"`
	Text   string  `json:"text,omitempty"`
	Key    string  `json:"key,omitempty"`
	Amount float64 `json:"amount,omitempty"`
	Dialog string  `json:"dialog,omitempty"`
}

// An ActOut is what has come of an action.
type ActOut struct {
	Success bool
	Message string          // what the model has to say of it
	Result  json.RawMessage // as the schema has it, if there is one and it was a success
	Steps   []Step
	Usage   Usage
}

const actForm = `You operate a web browser for somebody who has given you a task. ` + pageForm + `

Answer with one JSON object and nothing else:
{"thought": "why, in a sentence", "note": "what of this page is needed later; left out if nothing is", "actions": [{"method": "click", "ref": "e12"}], "done": false}
or, when the task is done or cannot be done:
{"thought": "…", "done": true, "success": true, "message": "what was done, or why not, with what the task asks to be told"}

Methods: click, double_click, hover (ref); fill (ref, text: what the field is to hold); type (ref, text: typed at its end); press (key such as Enter or Control+a, and ref if it is for a field); select (ref of a combobox or list, text: the option); scroll (amount in screens, negative is up; ref if something in the page is scrolled); goto (text: address); back; wait (amount in seconds). "dialog": "accept" beside a method accepts what the page asks in a dialog then.
Do several actions at once only if none of them leads to another page. Text such as %name% stands for a value that is put in its place; write it as it is.
You see the page as it is now, and of those before what you have noted. Do no more than the task says.`

const helpForm = `

There is a person who can do in the browser what you cannot: solve a captcha, log in where you have no password, confirm a payment. Answer for that
{"thought": "…", "help": "what they are to do", "kind": "captcha", "login", "payment" or ""}
and go on when they have done it. Ask only if nothing else leads on.`

const resultForm = `

When the task is done with success, the last answer has a "result" as well, as this JSON schema has it, with what was found on the pages and nothing made up:
`

// A turn is one answer of the model.
type turn struct {
	Note    string   `json:"note"` // for later turns
	Help    string   `json:"help"`
	Kind    string   `json:"kind"` // of help
	Actions []Action `json:"actions"`
	Done    bool     `json:"done"`
	Success bool     `json:"success"`
	Message string   `json:"message"`

	Result json.RawMessage `json:"result"`
}

// Act does something in a page, in the words of a task. What cannot be done is no
// error but no success.
func (o *Operator) Act(ctx context.Context, page Page, in ActIn) (out ActOut, err error) {
	t := &task{Operator: o, page: page, target: in.Page, hidden: in.Variables, vision: in.Vision, whole: in.Whole}
	defer func() { out.Usage = t.usage }()
	if in.Schema != "" {
		if t.result, err = compile(in.Schema); err != nil {
			return out, failf("the schema is none: %v", err)
		}
	}
	took := func(s Step) {
		out.Steps = append(out.Steps, s)
		if in.Told != nil {
			in.Told(s)
		}
	}
	turns, asked := cmp.Or(in.Turns, maxSteps), 0
	for range turns {
		now, err := t.snapshot(ctx, "", 0)
		if err != nil {
			return out, err
		}
		next, err := t.turn(ctx, in, out.Steps, now, asked < maxHelp)
		if err != nil {
			return out, err
		}
		if next.Note != "" && !next.Done {
			took(Step{Action: Action{Method: "note", Text: clip(next.Note)}, Result: "noted"})
		}
		if next.Help != "" {
			asked++
			took(t.callPerson(ctx, in.Help, next))
			continue
		}
		for _, a := range next.Actions {
			step, err := t.perform(ctx, a)
			if err != nil {
				return out, err
			}
			if took(step); step.Failed {
				break
			}
		}
		if next.Done {
			out.Success, out.Message = next.Success, next.Message
			if t.result != nil && next.Success {
				out.Result = next.Result
			}
			return out, nil
		}
	}
	out.Message = fmt.Sprintf("not done after %d turns", turns)
	return out, nil
}

// callPerson has a person do something.
func (t *task) callPerson(ctx context.Context, limit time.Duration, next turn) Step {
	step := Step{Action: Action{Method: "help", Text: clip(next.Help)}}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("nobody has helped within %s", limit))
	defer cancel()
	note, err := t.page.Help(ctx, helpKind(next.Kind), step.Text)
	if err != nil {
		step.Failed, step.Result = true, err.Error()
		return step
	}
	step.Result = strings.TrimSpace("a person has done it. " + clip(note))
	return step
}

// helpKind is what a person is asked to do, as a model says it. One that says
// something else than it may has said it in the message, too.
func helpKind(said string) agentbay.HelpKind {
	switch k := agentbay.HelpKind(strings.ToLower(said)); k {
	case agentbay.HelpCaptcha, agentbay.HelpLogin, agentbay.HelpPayment:
		return k
	}
	return agentbay.HelpOther
}

// turn asks the model what to do next.
func (t *task) turn(ctx context.Context, in ActIn, steps []Step, now tool.PageSnapshotOut, mayAsk bool) (next turn, err error) {
	var done strings.Builder
	for i, s := range steps {
		b, err := json.Marshal(s)
		if err != nil {
			return next, err
		}
		fmt.Fprintf(&done, "%d. %s\n", i+1, clip(string(b)))
	}
	if done.Len() == 0 {
		done.WriteString("nothing yet\n")
	}
	form, mayAsk := actForm, mayAsk && in.Help > 0
	if mayAsk {
		form += helpForm
	}
	if t.result != nil {
		form += resultForm + in.Schema
	}
	conversation := []Message{
		{System: true, Text: form},
		{Text: "The task: " + in.Action + "\n\nDone so far:\n" + done.String()},
		pageMessage(now),
	}
	err = t.ask(ctx, conversation, func(object []byte) error {
		next = turn{}
		if err := json.Unmarshal(object, &next); err != nil {
			return err
		}
		if next.Help != "" && !mayAsk {
			return errors.New("there is nobody to help")
		}
		if err := t.checkResult(next); err != nil {
			return err
		}
		return next.check(now)
	})
	return next, err
}

// checkResult refuses a last turn whose result is not as the schema has it.
func (t *task) checkResult(n turn) error {
	if t.result == nil || !n.Done || !n.Success {
		return nil
	}
	if len(n.Result) == 0 {
		return errors.New("it has no result")
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(n.Result))
	if err != nil {
		return err
	}
	return t.result.Validate(data)
}

// check refuses a turn that makes no sense on a page.
func (n turn) check(now tool.PageSnapshotOut) error {
	if !n.Done && len(n.Actions) == 0 && n.Help == "" {
		return fmt.Errorf("it has no actions, and is not done")
	}
	if len(n.Actions) > maxActions {
		return fmt.Errorf("it has %d actions; at most %d at once", len(n.Actions), maxActions)
	}
	for _, a := range n.Actions {
		if err := a.check(now); err != nil {
			return err
		}
	}
	return nil
}

func (a Action) check(now tool.PageSnapshotOut) error {
	if !slices.Contains(tool.PageMethods, a.Method) {
		return fmt.Errorf("there is no method %q", clip(a.Method))
	}
	if a.Ref != "" && !hasRef(now, a.Ref) {
		return fmt.Errorf("the page has no reference %q", clip(a.Ref))
	}
	return nil
}

// perform does an action of the model's.
func (t *task) perform(ctx context.Context, a Action) (Step, error) {
	r, err := t.page.Perform(ctx, tool.PagePerformIn{
		PageIn: tool.PageIn{Page: t.target}, Method: a.Method, Ref: a.Ref, Text: t.reveal(a.Text), Key: a.Key, Amount: a.Amount, Dialog: a.Dialog,
	})
	return Step{Action: a, Failed: r.Failed, Result: t.hide(clip(r.Text))}, err
}

// An observed action, as Observe found it and clients give it back.
type observed struct {
	Method    string `json:"method"`
	Arguments struct {
		Action
		Selector string `json:"selector"`
	} `json:"arguments"`
}

// Observed reads an action that Observe has found. Other text is none.
func Observed(action string) (in tool.PagePerformIn, ok bool) {
	var o observed
	if !strings.HasPrefix(strings.TrimSpace(action), "{") || json.Unmarshal([]byte(action), &o) != nil || o.Method == "" {
		return in, false
	}
	a := o.Arguments
	return tool.PagePerformIn{Method: o.Method, Ref: a.Ref, Selector: a.Selector, Text: a.Text, Key: a.Key, Amount: a.Amount, Dialog: a.Dialog}, true
}

// Perform does an action that Observe has found, without a model: to what the
// reference names, or, if the page has changed since, to what is in its place.
func Perform(ctx context.Context, page Page, in tool.PagePerformIn) (ActOut, error) {
	byRef := in
	if in.Ref != "" {
		byRef.Selector = ""
	}
	r, err := page.Perform(ctx, byRef)
	if err == nil && r.Failed && in.Ref != "" && in.Selector != "" {
		in.Ref = ""
		r, err = page.Perform(ctx, in)
	}
	a := Action{Method: in.Method, Ref: byRef.Ref, Text: in.Text, Key: in.Key, Amount: in.Amount, Dialog: in.Dialog}
	return ActOut{Success: !r.Failed, Message: r.Text, Steps: []Step{{Action: a, Failed: r.Failed, Result: clip(r.Text)}}}, err
}
