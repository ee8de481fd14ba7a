package bay

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

// A task is the last movement in one direction between a session and one path of
// a context.
type task struct {
	agentbay.SyncTask // guarded by Bay.mu, but for Context, Path and Mode
	progress          tree.Progress
}

// maxTasks is how many tasks a session remembers; the oldest are forgotten.
const maxTasks = 1000

// taskLocked starts a new task in place of the last one of its kind.
func (s *session) taskLocked(id agentbay.ContextID, path string, mode agentbay.SyncMode) *task {
	t := &task{SyncTask: agentbay.SyncTask{Context: id, Path: path, Mode: mode, State: agentbay.SyncRunning, StartedAt: time.Now()}}
	for i, o := range s.tasks {
		if o.Context == id && o.Path == path && o.Mode == mode {
			s.tasks[i] = t
			return t
		}
	}
	if len(s.tasks) >= maxTasks {
		s.tasks = s.tasks[1:]
	}
	s.tasks = append(s.tasks, t)
	return t
}

// task returns the task of that kind, and starts one if there is none.
func (b *Bay) task(s *session, id agentbay.ContextID, path string, mode agentbay.SyncMode) *task {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range s.tasks {
		if t.Context == id && t.Path == path && t.Mode == mode && !t.State.Ended() {
			return t
		}
	}
	return s.taskLocked(id, path, mode)
}

// request is what asks for the task.
func (t *task) request(s *session) agentbay.SyncRequest {
	return agentbay.SyncRequest{Session: s.ID, Mode: t.Mode, Context: t.Context, Path: t.Path}
}

// set moves a task on; err is why it failed.
func (t *task) set(to agentbay.SyncState, err error) {
	t.State = to
	if err != nil {
		t.Error = agentbay.MessageOf(err)
	}
	if to.Ended() {
		t.FinishedAt = time.Now()
	}
}

func (b *Bay) report(t *task, to agentbay.SyncState, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.set(to, err)
}

// finish ends a task the way err says.
func (b *Bay) finish(t *task, err error) {
	if err != nil {
		b.report(t, agentbay.SyncFailed, err)
		return
	}
	b.report(t, agentbay.SyncSuccess, nil)
}

func (c *caller) Syncs(ctx context.Context, q agentbay.SyncQuery) ([]agentbay.SyncTask, error) {
	s, err := c.running(ctx, q.Session)
	if err != nil {
		return nil, err
	}
	c.bay.mu.Lock()
	defer c.bay.mu.Unlock()
	list := []agentbay.SyncTask{}
	for _, t := range s.tasks {
		if matches(t.SyncTask, q) {
			x := t.SyncTask
			x.Files, x.Bytes, x.TotalBytes = t.progress.Files.Load(), t.progress.Bytes.Load(), t.progress.TotalBytes.Load()
			list = append(list, x)
		}
	}
	return list, nil
}

// matches reports whether a query selects a task.
func matches(t agentbay.SyncTask, q agentbay.SyncQuery) bool {
	return (q.Context == "" || q.Context == t.Context) && (q.Path == "" || q.Path == t.Path) && (q.Mode == "" || q.Mode == t.Mode)
}
