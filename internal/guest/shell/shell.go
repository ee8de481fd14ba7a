// Package shell runs command lines with bash inside a session. What a command
// leaves running in the background goes on after the call, like under any shell.
package shell

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// DefaultTimeout is how long a command may run that does not say.
const DefaultTimeout = time.Second

// MaxOutput is how much of each of its two outputs a command is answered with;
// what comes after it is read and dropped, and the last line says so.
const MaxOutput = 16 << 20

// maxBuffered bounds the output held for all running commands together.
const maxBuffered = 256 << 20

// grace is how long a command's output may stay open after the command has
// ended, as when `tee` still writes what it was sent.
const grace = 50 * time.Millisecond

// A Shell runs commands of one session. Make it with New.
type Shell struct {
	dir    string
	env    []string
	held   budget
	spares spares
}

// New returns a Shell of which commands run in a directory unless they say where,
// with an environment of KEY=value.
func New(dir string, env []string) *Shell {
	return &Shell{dir: dir, env: env, spares: spares{ready: make(chan *process, 1)}}
}

// Register makes m perform the shell family.
func (s *Shell) Register(m *guest.Mux) { guest.Handle(m, tool.RunShell, s.Run) }

// Run runs one command line to the end of bash, or of its time.
func (s *Shell) Run(ctx context.Context, in tool.ShellIn) (guest.Answer, error) {
	limit, err := timeout(in.TimeoutMS)
	if err != nil {
		return guest.Answer{}, err
	}
	dir, err := s.placeOf(in.Cwd)
	if err != nil {
		return guest.Answer{}, err
	}
	env, err := s.envWith(in.Envs)
	if err != nil {
		return guest.Answer{}, err
	}
	if strings.ContainsRune(in.Command, 0) {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "the command contains a NUL character")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, timedOut(limit))
	defer cancel()
	p := s.spare(in.Command, dir, len(in.Envs) > 0)
	s.Warm() // for the next command, while this one runs
	if p == nil {
		p, err = s.start(in.Command, dir, env)
	}
	if err != nil {
		return guest.Answer{}, launchFailed(err)
	}
	return finish(ctx, p)
}

// timedOut is the failure of a command that took too long.
func timedOut(limit time.Duration) error {
	return guest.Failf(guest.Unsuccessful, "[timeout] the command and all it started were killed after %d ms; give it longer with timeout_ms", limit.Milliseconds())
}

func timeout(ms int64) (time.Duration, error) {
	switch {
	case ms < 0:
		return 0, guest.Failf(guest.BadArgument, "timeout_ms is %d; it must be positive", ms)
	case ms == 0:
		return DefaultTimeout, nil
	case ms > math.MaxInt64/int64(time.Millisecond):
		return math.MaxInt64, nil
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// placeOf is where to run, which must be there: what the kernel says of a launch in
// a missing directory sounds as if bash were missing.
func (s *Shell) placeOf(cwd string) (string, error) {
	dir := s.dir
	switch {
	case filepath.IsAbs(cwd):
		dir = cwd
	case cwd != "":
		dir = filepath.Join(s.dir, cwd)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", guest.Failf(guest.BadArgument, "cannot run in %q: %s", dir, guest.Reason(err))
	}
	if !info.IsDir() {
		return "", guest.Failf(guest.BadArgument, "cannot run in %q: Not a directory", dir)
	}
	return dir, nil
}

// envWith is the environment with the caller's variables in place of ours.
func (s *Shell) envWith(envs map[string]string) ([]string, error) {
	env := slices.DeleteFunc(slices.Clone(s.env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, given := envs[name]
		return given
	})
	for name, value := range envs {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return nil, guest.Failf(guest.BadArgument, "%q cannot be an environment variable", name)
		}
		env = append(env, name+"="+value)
	}
	return env, nil
}

// finish waits for the end of a command.
func finish(ctx context.Context, p *process) (guest.Answer, error) {
	out := output{stdout: p.stdout, stderr: p.stderr, status: p.wait(ctx)}
	out.stdoutText, out.stderrText = p.stdout.end(), p.stderr.end()
	if p.killed {
		out.release()
		return guest.Answer{}, context.Cause(ctx)
	}
	return out.answer(), nil
}

// launchFailed is the failure of a command that did not run.
func launchFailed(err error) error {
	if _, ok := errors.AsType[*guest.Failure](err); ok {
		return err
	}
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return guest.Failf(guest.Unsuccessful, "the session is at its limit of processes or memory; end some, or delete the session")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return guest.Failf(guest.Unsuccessful, "too many commands at once; wait for some to end")
	case errors.Is(err, syscall.E2BIG):
		return guest.Failf(guest.BadArgument, "the environment variables are too long for the system")
	}
	return guest.Failf(guest.Unsuccessful, "bash did not start: %s", guest.Reason(err))
}

// An output is what a command that ended did.
type output struct {
	stdout, stderr         *capture
	stdoutText, stderrText []byte
	status                 int
}

// answer is a tool.ShellOut, written piece by piece: as JSON, output can be six
// times as long as it was.
func (o output) answer() guest.Answer {
	a := guest.Stream(func(w io.Writer) error {
		defer o.release()
		return writeOut(w, o.stdoutText, o.stderrText, o.status, rand.Text())
	})
	if o.status != 0 {
		return a.AsFailure()
	}
	return a
}

func (o output) release() {
	o.stdout.release()
	o.stderr.release()
}
