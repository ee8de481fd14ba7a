package bay

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/agentbay/agentbay/internal/operator"
	"github.com/agentbay/agentbay/tool"
)

// Tasks that may lead over many pages and end with an answer.

const (
	executeTurns    = 100
	executePatience = maxTaskPatience // clients terminate what they do not wait for
)

// errTerminated is why a task has failed that a client has ended.
var errTerminated = errors.New("the task was terminated")

// noLogin is what is said to who wants a login by a service.
const noLogin = "this bay has no service that logs in by a skill; log in with page_use_act and its variables, which the model does not see, " +
	"let people help it with help_timeout, or mount a browser profile that is logged in"

// execute reads the arguments of a task.
func (u *use) execute(args json.RawMessage) (work, *float64, error) {
	in, err := tool.ExecuteTask.Decode(args)
	if err != nil {
		return nil, nil, err
	}
	limit := executePatience.Seconds()
	do, err := u.withModel(func(ctx context.Context, model *operator.Operator, page bayPage) (any, operator.Usage, error) {
		out, err := model.Act(ctx, page, operator.ActIn{
			Action: in.Task, Vision: in.Vision, Whole: in.Full, Schema: in.Schema, Turns: executeTurns, Told: page.took, Help: page.patience(in.Help),
		})
		return out, out.Usage, err
	})
	return do, &limit, err
}

// took remembers what was done last for the task.
func (p bayPage) took(s operator.Step) {
	said, _ := json.Marshal(s.Action) // which is strings and a number
	b := p.use.caller.bay
	b.mu.Lock()
	defer b.mu.Unlock()
	p.task.last = string(said)
}

// patience is how long a person may be waited for whom the model calls.
func (p bayPage) patience(seconds float64) time.Duration {
	wait := time.Duration(max(0, min(seconds, maxTaskPatience.Seconds())) * float64(time.Second))
	if wait == 0 && p.mayCall() {
		return helpPatience
	}
	return wait
}

// status is how far a task is. The caller holds the bay's lock.
func (t *pageTask) status() tool.TaskStatusOut {
	s := tool.TaskStatusOut{ID: t.id, Status: tool.TaskRunning, Action: t.last}
	if !t.over() {
		return s
	}
	out, _ := t.answer.(operator.ActOut)
	switch {
	case t.err != nil:
		s.Status, s.Error = tool.TaskFailed, t.err.Error()
	case !out.Success:
		s.Status, s.Error = tool.TaskFailed, out.Message
	case len(out.Result) > 0:
		s.Status, s.Product = tool.TaskFinished, string(out.Result)
	default:
		s.Status, s.Product = tool.TaskFinished, out.Message
	}
	return s
}

// terminate ends a task, and waits until it has ended.
func (u *use) terminate(c tool.Call) (*tool.Reply, error) {
	in, err := tool.TerminateTask.Decode(c.Args)
	if err != nil {
		return failure(err.Error()), nil
	}
	b := u.caller.bay
	b.mu.Lock()
	t := u.session.pageTaskLocked(in.ID, tool.TaskStatus.Name)
	b.mu.Unlock()
	if t == nil || t.over() {
		return noTask(in.ID), nil
	}
	t.cancel(errTerminated)
	select {
	case <-t.done:
	case <-u.ctx.Done():
		return nil, context.Cause(u.ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return answer(t.status())
}
