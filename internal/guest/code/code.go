// Package code runs code in a session's interpreters. There is one interpreter
// a language, with one kernel process that is started at the first run, or by
// [Kernels.Warm] before it, and whose variables live on between runs.
//
// What a run does, in numbers: it is interrupted when its time is up or its
// caller gone, and if that has not ended it after a grace of two seconds, its
// kernel is killed with all it started and a new one takes its place. A run
// returned as a whole keeps up to [MaxOutput] bytes of each output stream and
// [MaxResults] bytes of results, and marks what it left out; a run streamed as
// events has no such bound, but a result in one event is at most
// [MaxEventResult] bytes, since it has to fit a frame of the socket twice.
package code

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// The bounds of what one run may say and be told.
const (
	MaxCode        = 16 << 20  // bytes of source text
	MaxOutput      = 16 << 20  // bytes of each of stdout and stderr in a whole answer
	MaxResults     = 32 << 20  // bytes of all results in a whole answer
	MaxEventResult = 480 << 10 // bytes of one result in a stream of events
)

// DefaultTimeout is how long a run may take when it does not say.
const DefaultTimeout = 60 * time.Second

// A Config says how kernels run.
type Config struct {
	Dir          string        // working directory; empty means this program's
	Env          []string      // environment, KEY=value; nil means this program's
	Runners      string        // where the runners are; empty means /opt/agentbay/runners
	Grace        time.Duration // how long an interrupted run may take to end; 0 means two seconds
	StartTimeout time.Duration // how long a kernel may take to start; 0 means a minute
}

// Kernels are a session's interpreters. Runs of one language wait for each
// other; languages do not.
type Kernels struct {
	kernels map[string]*kernel // by language; not changed after New
}

// New makes the kernels of a session, none of them started.
func New(c Config) *Kernels {
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Runners == "" {
		c.Runners = "/opt/agentbay/runners"
	}
	if c.Grace == 0 {
		c.Grace = 2 * time.Second
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	ks := &Kernels{kernels: map[string]*kernel{}}
	for _, lang := range languages {
		ks.kernels[lang.name] = newKernel(lang, c)
	}
	return ks
}

// Register has the kernels perform run_code.
func (ks *Kernels) Register(m *guest.Mux) {
	guest.Handle(m, tool.RunCode, func(ctx context.Context, in tool.RunCodeIn) (guest.Answer, error) {
		out, err := ks.Run(ctx, in, nil)
		if err != nil {
			return guest.Answer{}, err
		}
		if out.ExecutionError != "" {
			return guest.JSON(out).AsFailure(), nil
		}
		return guest.JSON(out), nil
	})
	guest.HandleStream(m, tool.RunCode, func(ctx context.Context, in tool.RunCodeIn, emit func(any) error) error {
		out, err := ks.Run(ctx, in, func(e tool.CodeEvent) error { return emit(e) })
		if err != nil {
			return err
		}
		return emit(tool.CodeEvent{Type: "end", End: &out})
	})
}

// Run runs a piece of code. Without emit, the answer holds all output and
// results; with emit, they are emitted as they come, one at a time, and the
// answer has the rest. An exception, a time-out and the death of the kernel are
// answers with ExecutionError set.
//
// Invalid: the language is not known, or the code or timeout out of bounds.
// Unavailable: the language's kernel does not start.
func (ks *Kernels) Run(ctx context.Context, in tool.RunCodeIn, emit func(tool.CodeEvent) error) (tool.RunCodeOut, error) {
	k, err := ks.kernel(in.Language)
	if err != nil {
		return tool.RunCodeOut{}, err
	}
	if len(in.Code) > MaxCode {
		return tool.RunCodeOut{}, agentbay.Errorf(agentbay.Invalid, "code is longer than %d bytes: write it to a file and run that", MaxCode)
	}
	timeout, err := timeoutOf(in.TimeoutS)
	if err != nil {
		return tool.RunCodeOut{}, err
	}
	return k.run(ctx, in.Code, timeout, emit)
}

// Warm starts the kernels of languages in the background, so that their first
// run does not have to. What does not start fails at its first run.
func (ks *Kernels) Warm(names ...string) {
	for _, name := range names {
		if k, err := ks.kernel(name); err == nil {
			go k.warm()
		}
	}
}

// Close ends all kernels once their runs have ended. Runs after it are Unavailable.
func (ks *Kernels) Close() {
	for _, k := range ks.kernels {
		k.close()
	}
}

func (ks *Kernels) kernel(name string) (*kernel, error) {
	i := slices.IndexFunc(languages, func(l language) bool { return l.is(strings.ToLower(name)) })
	if i < 0 {
		return nil, agentbay.Errorf(agentbay.Invalid, "unsupported language %.40q; there are python, javascript, r and java", name)
	}
	return ks.kernels[languages[i].name], nil
}

func timeoutOf(seconds float64) (time.Duration, error) {
	switch {
	case seconds < 0:
		return 0, agentbay.Errorf(agentbay.Invalid, "timeout_s is %g; it must be positive, or 0 for %v", seconds, DefaultTimeout)
	case seconds == 0:
		return DefaultTimeout, nil
	case seconds >= math.MaxInt64/float64(time.Second):
		return math.MaxInt64, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// newTraceID names one run.
func newTraceID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
