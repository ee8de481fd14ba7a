package agentbay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A Cmd is a command line to run in a session, with bash. It has the shape of
// [os/exec.Cmd], so that what you know of that holds here. A Cmd may be run
// more than once.
type Cmd struct {
	Line    string
	Dir     string        // empty means the session's working directory
	Env     []string      // "KEY=value", added to the session's environment
	Stdout  io.Writer     // nil means discard
	Stderr  io.Writer     // nil means discard
	Timeout time.Duration // kill the command and all it started after this long; 0 means when ctx is done

	session *Session
}

// Command prepares a command line.
func (s *Session) Command(line string) *Cmd { return &Cmd{Line: line, session: s} }

// An ExitError is the report of a command that ran and did not succeed.
type ExitError struct {
	Code   int    // exit status; 128 + n after signal n
	Stderr []byte // what the command wrote to standard error
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("exit status %d", e.Code)
	if text := strings.TrimSpace(string(e.Stderr)); text != "" {
		s += ": " + text
	}
	return s
}

// ExitCode returns the exit status.
func (e *ExitError) ExitCode() int { return e.Code }

// Run runs the command and waits for it. A command that ran and failed is an
// [*ExitError]; one that was killed by its Timeout is Exhausted. The output is
// written when the command has ended.
func (c *Cmd) Run(ctx context.Context) error {
	out, err := c.run(ctx)
	if err != nil {
		return err
	}
	if err := writeAll(c.Stdout, out.Stdout); err != nil {
		return err
	}
	if err := writeAll(c.Stderr, out.Stderr); err != nil {
		return err
	}
	if out.ExitCode != 0 {
		return &ExitError{Code: out.ExitCode, Stderr: []byte(out.Stderr)}
	}
	return nil
}

func writeAll(w io.Writer, s string) error {
	if w == nil || s == "" {
		return nil
	}
	_, err := io.WriteString(w, s)
	return err
}

// Output runs the command and returns what it wrote to standard output.
func (c *Cmd) Output(ctx context.Context) ([]byte, error) {
	if c.Stdout != nil {
		return nil, Errorf(Invalid, "Stdout is already set")
	}
	var out bytes.Buffer
	run := *c
	run.Stdout = &out
	err := run.Run(ctx)
	return out.Bytes(), err
}

// CombinedOutput runs the command and returns what it wrote to standard output,
// then what it wrote to standard error. To have the two in the order in which
// they were written, end the line in 2>&1.
func (c *Cmd) CombinedOutput(ctx context.Context) ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, Errorf(Invalid, "Stdout or Stderr is already set")
	}
	var out bytes.Buffer
	run := *c
	run.Stdout, run.Stderr = &out, &out
	err := run.Run(ctx)
	return out.Bytes(), err
}

func (c *Cmd) run(ctx context.Context) (*tool.ShellOut, error) {
	in, err := c.input()
	if err != nil {
		return nil, err
	}
	r, err := resultOf(ctx, c.session.service, c.session.ID, tool.RunShell, in)
	if err != nil {
		return nil, err
	}
	var out tool.ShellOut
	if json.Unmarshal([]byte(r.Text), &out) != nil {
		return nil, shellError(r.Text)
	}
	return &out, nil
}

// noTimeout is how long a command without Timeout may run: until the context
// is done, or for a month.
const noTimeout = 30 * 24 * time.Hour

func (c *Cmd) input() (tool.ShellIn, error) {
	if c.Timeout < 0 {
		return tool.ShellIn{}, Errorf(Invalid, "the timeout %s is negative; 0 means none", c.Timeout)
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = noTimeout
	}
	in := tool.ShellIn{Command: c.Line, Cwd: c.Dir, TimeoutMS: max(1, timeout.Milliseconds())}
	if len(c.Env) > 0 {
		in.Envs = map[string]string{}
	}
	for _, pair := range c.Env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return in, Errorf(Invalid, "the environment entry %q is not KEY=value", pair)
		}
		in.Envs[name] = value
	}
	return in, nil
}

// shellError is a command that did not run to its end; text is the tool's sentence.
func shellError(text string) error {
	if strings.Contains(text, "[timeout]") {
		return Wrap(context.DeadlineExceeded, Exhausted, "%s", text)
	}
	return Errorf(Invalid, "%s", text)
}
