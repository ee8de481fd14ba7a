package bay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/tool"
)

// Work of a model on the pages of a session's browser. The model is the host's to
// ask, so that its key never comes into a session; what it answers is done by
// tools of the session, as a client's calls are.

// A work is what a task does. Its answer is told as JSON.
type work func(ctx context.Context, page bayPage) (answer any, used operator.Usage, err error)

// A pageTask is a task on a page.
type pageTask struct {
	id     string
	result string        // the tool that tells its answer
	done   chan struct{} // closed when it is
	answer any           // set before done is closed
	err    error         // why it has failed; set before done is closed

	cancel context.CancelCauseFunc // ends it; set before it is kept
	last   string                  // what was done last; guarded by Bay.mu
}

// Bounds of tasks on pages.
const (
	taskPatience    = 5 * time.Minute // if the caller does not say
	maxTaskPatience = time.Hour
	helpPatience    = 3 * time.Minute // of a model that may call for a person, if the caller does not say
	tasksAtOnce     = 4               // in a session
	tasksKept       = 64              // in a session
)

// An operation is a tool that has a model work on a page.
type operation struct {
	read   func(*use, json.RawMessage) (do work, timeout *float64, err error) // the arguments
	result string                                                             // the tool that tells the answer
	waits  bool                                                               // for the answer, which it tells itself
}

var operations = map[string]operation{
	tool.ActAsync.Name:     {(*use).act, tool.ActResult.Name, false},
	tool.Act.Name:          {(*use).act, tool.ActResult.Name, true},
	tool.ObserveAsync.Name: {(*use).observe, tool.ObserveResult.Name, false},
	tool.Observe.Name:      {(*use).observe, tool.ObserveResult.Name, true},
	tool.ExtractAsync.Name: {(*use).extract, tool.ExtractResult.Name, false},
	tool.Extract.Name:      {(*use).extract, tool.ExtractResult.Name, true},
	tool.ExecuteTask.Name:  {(*use).execute, tool.TaskStatus.Name, false},
}

// results are the tools that tell the answer of a task.
var results = []string{tool.ActResult.Name, tool.ObserveResult.Name, tool.ExtractResult.Name, tool.TaskStatus.Name}

// operate begins a task, and waits for it if its tool does.
func (u *use) operate(c tool.Call, o operation) (*tool.Reply, error) {
	do, timeout, err := o.read(u, c.Args)
	if err != nil {
		return failure(err.Error()), nil
	}
	t := &pageTask{id: strings.ToLower(rand.Text()), result: o.result, done: make(chan struct{})}
	if err := u.begin(t, do, taskLimit(timeout)); err != nil {
		return failure(err.Error()), nil
	}
	if !o.waits {
		return answer(tool.TaskOut{ID: t.id})
	}
	select {
	case <-t.done:
		return t.reply()
	case <-u.ctx.Done():
		return nil, context.Cause(u.ctx)
	}
}

// taskLimit is how long a task may take.
func taskLimit(seconds *float64) time.Duration {
	if seconds == nil || !(*seconds > 0) {
		return taskPatience
	}
	return time.Duration(min(*seconds, maxTaskPatience.Seconds()) * float64(time.Second))
}

// begin has a task go on by itself, as a call into the session of its own.
func (u *use) begin(t *pageTask, do work, limit time.Duration) error {
	b := u.caller.bay
	own, err := u.caller.use(b.ctx, u.session.ID, t.result)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(own.ctx, limit, fmt.Errorf("the task was not done within %s", limit))
	ctx, t.cancel = context.WithCancelCause(ctx)
	if err := b.keepTask(u.session, t); err != nil {
		cancel()
		return own.end(err)
	}
	own.ctx = ctx // what it asks of the session ends with it
	go func() {
		defer cancel()
		var used operator.Usage
		t.answer, used, t.err = do(ctx, bayPage{own, t})
		if t.err != nil && context.Cause(ctx) == errTerminated {
			t.err = errTerminated
		}
		b.Log.Info("model used", "session", u.session.ID, "key", u.caller.key.ID, "task", t.id,
			"requests", used.Requests, "tokens_in", used.In, "tokens_out", used.Out)
		close(t.done)
		own.end(t.err)
	}()
	return nil
}

// keepTask remembers a task, and forgets the oldest that is done.
func (b *Bay) keepTask(s *session, t *pageTask) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	running := 0
	for _, x := range s.pageTasks {
		if !x.over() {
			running++
		}
	}
	if running >= tasksAtOnce {
		return fmt.Errorf("%d tasks are under way in this session, as many as can be; wait for one", running)
	}
	s.pageTasks = append(s.pageTasks, t)
	if len(s.pageTasks) > tasksKept {
		i := slices.IndexFunc(s.pageTasks, (*pageTask).over)
		s.pageTasks = slices.Delete(s.pageTasks, i, i+1)
	}
	return nil
}

func (t *pageTask) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// reply is the task's answer, as far as there is one. An action has one all the time.
func (t *pageTask) reply() (*tool.Reply, error) {
	switch {
	case t.result == tool.ActResult.Name:
		return answer(t.act())
	case t.result == tool.TaskStatus.Name:
		return answer(t.status())
	case !t.over():
		return failure("task " + t.id + " is still under way"), nil
	case t.err != nil:
		return failure(t.err.Error()), nil
	}
	return answer(t.answer)
}

// act is how far an action is.
func (t *pageTask) act() tool.ActOut {
	if !t.over() {
		return tool.ActOut{ID: t.id}
	}
	out, _ := t.answer.(operator.ActOut)
	if t.err != nil {
		out.Success, out.Message = false, t.err.Error()
	}
	return tool.ActOut{ID: t.id, Done: true, Success: out.Success, Steps: stepsOf(out)}
}

// stepsOf is what was done, and what there is to say of it.
func stepsOf(out operator.ActOut) string {
	var b strings.Builder
	for i, s := range out.Steps {
		action, _ := json.Marshal(s.Action) // which is strings and a number
		fmt.Fprintf(&b, "%d. %s: %s\n", i+1, action, s.Result)
	}
	b.WriteString(out.Message)
	return b.String()
}

// taskResult tells how far a task is.
func (u *use) taskResult(c tool.Call) (*tool.Reply, error) {
	in, err := tool.ActResult.Decode(c.Args)
	if err != nil {
		return failure(err.Error()), nil
	}
	b := u.caller.bay
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := u.session.pageTaskLocked(in.ID, c.Name); t != nil {
		return t.reply()
	}
	return noTask(in.ID), nil
}

// pageTaskLocked is the task whose answer a tool tells; nil if there is none.
func (s *session) pageTaskLocked(id, result string) *pageTask {
	for _, t := range s.pageTasks {
		if t.id == id && t.result == result {
			return t
		}
	}
	return nil
}

// noTask is what is said of a task that is not there. Clients look for how it begins.
func noTask(id string) *tool.Reply {
	return failure(fmt.Sprintf("Task not found or already finished: there is no task %q; the last %d of a session are remembered", shorten(id), tasksKept))
}

// act reads the arguments of an action.
func (u *use) act(args json.RawMessage) (work, *float64, error) {
	in, err := tool.Act.Decode(args)
	if err != nil {
		return nil, nil, err
	}
	if p, ok := operator.Observed(in.Action); ok {
		p.Page = in.Page
		return func(ctx context.Context, page bayPage) (any, operator.Usage, error) {
			out, err := operator.Perform(ctx, page, p)
			return out, out.Usage, err
		}, in.Timeout, nil
	}
	do, err := u.withModel(func(ctx context.Context, model *operator.Operator, page bayPage) (any, operator.Usage, error) {
		out, err := model.Act(ctx, page, operator.ActIn{Page: in.Page, Action: in.Action, Variables: in.Variables, Vision: in.Vision, Help: page.patience(in.Help)})
		return out, out.Usage, err
	})
	return do, in.Timeout, err
}

// observe reads the arguments of a search.
func (u *use) observe(args json.RawMessage) (work, *float64, error) {
	in, err := tool.Observe.Decode(args)
	if err != nil {
		return nil, nil, err
	}
	do, err := u.withModel(func(ctx context.Context, model *operator.Operator, page bayPage) (any, operator.Usage, error) {
		found, used, err := model.Observe(ctx, page, operator.SearchIn{Page: in.Page, Instruction: in.Instruction, Selector: in.Selector, Vision: in.Vision})
		return found, used, err
	})
	return do, in.Timeout, err
}

// extract reads the arguments of a reading.
func (u *use) extract(args json.RawMessage) (work, *float64, error) {
	in, err := tool.Extract.Decode(args)
	if err != nil {
		return nil, nil, err
	}
	do, err := u.withModel(func(ctx context.Context, model *operator.Operator, page bayPage) (any, operator.Usage, error) {
		read, used, err := model.Extract(ctx, page, operator.ExtractIn{
			SearchIn: operator.SearchIn{Page: in.Page, Instruction: in.Instruction, Selector: in.Selector, Vision: in.Vision},
			Schema:   in.Schema, Pages: in.Pages,
		})
		return read, used, err
	})
	return do, in.Timeout, err
}

// A bayPage is a page of a session, on which a task works.
type bayPage struct {
	use  *use
	task *pageTask
}

var _ operator.Page = bayPage{}

// maxSnapshot bounds a snapshot of a page, in bytes of JSON: a mebibyte of text and
// a picture.
const maxSnapshot = 16 << 20

// Snapshot implements operator.Page.
func (p bayPage) Snapshot(_ context.Context, in tool.PageSnapshotIn) (out tool.PageSnapshotOut, err error) {
	r, err := p.call(tool.PageSnapshot.Call(in))
	err = decode(r, err, &out)
	return out, err
}

// Locate implements operator.Page.
func (p bayPage) Locate(_ context.Context, in tool.PageLocateIn) (out []string, err error) {
	r, err := p.call(tool.PageLocate.Call(in))
	err = decode(r, err, &out)
	return out, err
}

// Perform implements operator.Page.
func (p bayPage) Perform(_ context.Context, in tool.PagePerformIn) (tool.Result, error) {
	return p.call(tool.PagePerform.Call(in))
}

// Help implements operator.Page: it is a request at the session's page, which is
// done when a person has taken control and handed it back, or a client has said
// that it is.
func (p bayPage) Help(ctx context.Context, kind agentbay.HelpKind, message string) (note string, err error) {
	b := p.use.caller.bay
	var wait time.Duration
	if end, ok := ctx.Deadline(); ok {
		wait = time.Until(end)
	}
	asked := b.deskOf(p.use.session).Ask(kind, strings.ToValidUTF8(message, "�"), wait)
	for {
		desk := b.deskOf(p.use.session) // another one once links were revoked
		changed := desk.Changed()
		for _, h := range desk.State().Help {
			if h.ID == asked.ID && h.State == agentbay.HelpDone {
				return h.Note, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			b.deskOf(p.use.session).Withdraw(asked.ID)
			return "", context.Cause(ctx)
		}
	}
}

// mayCall reports whether the browser was opened for a model that may call for a
// person. It opens one that is not open, which work on a page does anyway.
func (p bayPage) mayCall() bool {
	out, err := p.use.browser()
	return err == nil && out.CallForUser // else the page is the one to say what is wrong
}

// call calls a tool as a client would: while a person is in control it may not act.
func (p bayPage) call(c tool.Call, err error) (r tool.Result, _ error) {
	if err != nil {
		return r, err
	}
	reply, err := p.use.call(c)
	if err == nil {
		r, err = reply.Result(maxSnapshot)
		err = agentbay.Wrap(err, agentbay.Unavailable, "the session broke off its answer; try again")
	}
	if over := context.Cause(p.use.ctx); err != nil && over != nil {
		return r, over
	}
	return r, err
}

// decode reads the answer of a tool that answers with JSON.
func decode(r tool.Result, err error, out any) error {
	switch {
	case err != nil:
		return err
	case r.Failed:
		return errors.New(r.Text)
	}
	return agentbay.Wrap(tool.Unmarshal([]byte(r.Text), out), agentbay.Unavailable, "the session's answer has another shape than expected")
}
