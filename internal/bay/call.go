package bay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// A use is one call into a session while it lasts. It keeps the session from
// being idle, and ends with the session.
type use struct {
	caller  *caller
	session *session
	what    string
	began   time.Time

	ctx    context.Context // of the caller, and of the session
	cancel context.CancelFunc
	unhook func() bool
	once   sync.Once
}

// use begins a call. The caller must end it.
func (c *caller) use(ctx context.Context, id agentbay.SessionID, what string) (*use, error) {
	began := time.Now()
	s, err := c.enter(ctx, id)
	if err != nil {
		c.log(ctx, shorten(what), began, err, "session", shorten(string(id)))
		return nil, err
	}
	u := &use{caller: c, session: s, what: shorten(what), began: began}
	u.ctx, u.cancel = context.WithCancel(ctx)
	u.unhook = context.AfterFunc(s.alive, u.cancel)
	return u, nil
}

// enter counts a call in.
func (c *caller) enter(ctx context.Context, id agentbay.SessionID) (*session, error) {
	s, err := c.running(ctx, id)
	if err != nil {
		return nil, err
	}
	b := c.bay
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return nil, errClosing
	}
	if s.State != agentbay.Running {
		b.mu.Unlock()
		return nil, c.ended(ctx, id)
	}
	s.calls++
	b.inFlight.Add(1)
	b.mu.Unlock()
	return s, nil
}

// end ends the call, once, and returns what the caller is told of err.
func (u *use) end(err error) error {
	u.once.Do(func() {
		err = u.explain(err)
		u.unhook()
		u.cancel()
		b := u.caller.bay
		b.mu.Lock()
		u.session.calls--
		u.session.activeLocked()
		b.mu.Unlock()
		b.inFlight.Done()
		u.caller.log(u.ctx, u.what, u.began, err, "session", u.session.ID)
	})
	return err
}

// deathNotice is how long the news of a machine's end may take longer than the
// end of its connections.
const deathNotice = 2 * time.Second

// explain finds out whether a call failed because its session ended. Then the
// connection broke, which the guest's line reports as it sees it, and a moment
// later the runtime knows why.
func (u *use) explain(err error) error {
	if err == nil {
		return nil
	}
	if u.session.alive.Err() == nil {
		if code := agentbay.CodeOf(err); u.ctx.Err() != nil || code == agentbay.Invalid || u.answers() {
			return err
		}
		select {
		case <-u.session.alive.Done():
		case <-u.ctx.Done():
		case <-time.After(deathNotice):
		}
	}
	if cause := context.Cause(u.session.alive); cause != nil {
		return cause
	}
	return err
}

// answers reports whether the session's guest is there.
func (u *use) answers() bool {
	ctx, cancel := context.WithTimeout(u.ctx, deathNotice)
	defer cancel()
	return u.session.guest.Health(ctx) == nil
}

// call runs a tool. That there is no such tool is a tool's failure, as in MCP.
func (u *use) call(c tool.Call) (*tool.Reply, error) {
	t, ok := tool.Lookup(c.Name)
	switch {
	case !ok || !u.session.has(t.Family):
		return failure(u.caller.bay.noTool(c.Name)), nil
	case t.Family == tool.System:
		return u.system(t)
	case t.Name == tool.SystemScreenshot.Name:
		return u.screenshot()
	}
	if t.Name == tool.OpenBrowser.Name {
		if err := u.recordBrowser(c); err != nil {
			return failure(agentbay.MessageOf(err)), nil
		}
	}
	if t.Acts {
		if refusal, err := u.mayAct(); err != nil || refusal != "" {
			return failure(refusal), err
		}
	}
	if o, ok := operations[t.Name]; ok {
		return u.operate(c, o)
	}
	if slices.Contains(results, t.Name) {
		return u.taskResult(c)
	}
	switch t.Name {
	case tool.TerminateTask.Name:
		return u.terminate(c)
	case tool.Login.Name:
		return failure(noLogin), nil
	}
	reply, err := u.session.guest.Call(u.ctx, c)
	if agentbay.CodeOf(err) == agentbay.NotFound && u.answers() {
		return failure(u.caller.bay.noTool(c.Name)), nil
	}
	return reply, err
}

// ask performs a tool for the bay itself, and reads its whole answer, at most max
// bytes; what says what the answer is.
func ask[In, Out any](ctx context.Context, s *session, d tool.Def[In, Out], in In, max int64, what string) (tool.Result, error) {
	call, err := d.Call(in)
	if err != nil {
		return tool.Result{}, err
	}
	reply, err := s.guest.Call(ctx, call)
	if err != nil {
		return tool.Result{}, err
	}
	r, err := reply.Result(max)
	return r, agentbay.Wrap(err, agentbay.Unavailable, "the session broke off its %s; try again", what)
}

// stream runs a tool as a stream.
func (u *use) stream(c tool.Call, yield func([]byte) error) error {
	t, ok := tool.Lookup(c.Name)
	switch {
	case !ok || !u.session.has(t.Family):
		return agentbay.Errorf(agentbay.Invalid, "%s", u.caller.bay.noTool(c.Name))
	case !t.Streams:
		return agentbay.Errorf(agentbay.Invalid, "tool %s does not stream; call it", t.Name)
	}
	return u.session.guest.Stream(u.ctx, c, yield)
}

// system runs a tool of the system family, which the host answers.
func (u *use) system(t tool.Tool) (*tool.Reply, error) {
	if t.Name != tool.Metrics.Name {
		return failure("tool not found: " + t.Name), nil
	}
	meter, ok := u.session.machine.(runtime.Meter)
	if !ok {
		return failure("this session's runtime, " + u.session.Runtime + ", cannot be measured"), nil
	}
	out, err := u.caller.bay.measure(u.ctx, meter, u.session)
	if err != nil {
		return nil, err
	}
	return answer(out)
}

// answer is a tool's answer that is JSON.
func answer(v any) (*tool.Reply, error) {
	text, err := json.Marshal(v)
	return success(string(text)), err
}

func success(text string) *tool.Reply {
	return &tool.Reply{Body: io.NopCloser(strings.NewReader(text))}
}

func failure(text string) *tool.Reply {
	return &tool.Reply{Failed: true, Body: io.NopCloser(strings.NewReader(text))}
}

// noTool says that a session does not have a tool, and which images do.
func (b *Bay) noTool(name string) string {
	text := "tool not found: " + shorten(name)
	t, ok := tool.Lookup(name)
	if !ok {
		return text
	}
	if images := b.imagesWith(t.Family); len(images) > 0 {
		return fmt.Sprintf("%s; sessions of %s have it", text, strings.Join(images, ", "))
	}
	return text
}

func (b *Bay) imagesWith(f tool.Family) (names []string) {
	list, err := b.Images.List()
	if err != nil {
		return nil
	}
	for _, l := range list {
		for _, have := range l.Config.Families {
			if l.Ready && have == f {
				names = append(names, l.Name)
			}
		}
	}
	return names
}

// A body is the text of an answer; the call lasts until it is closed.
type body struct {
	io.ReadCloser
	use    *use
	failed bool
	err    error // what Read ended with
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.use.explain(err)
		b.err = err
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.use.end(b.err)
	return err
}

// A portConn is a connection to a port of a session; the call lasts until it is
// closed, and it is closed when the session ends.
type portConn struct {
	net.Conn
	use    *use
	unhook func() bool
}

func newPortConn(conn net.Conn, u *use) *portConn {
	return &portConn{conn, u, context.AfterFunc(u.session.alive, func() { conn.Close() })}
}

// CloseWrite says that no more will be written; reading goes on.
func (p *portConn) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (p *portConn) Close() error {
	p.unhook()
	err := p.Conn.Close()
	p.use.end(nil)
	return err
}
