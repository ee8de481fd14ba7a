// Command agentbay is a bay's server and command line in one.
//
// It holds all flags, configuration and wiring, and no rule: those are in
// package bay. Every command is a value made in this folder; what a command
// may touch of the world is in its [env].
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/agentbay/agentbay/internal/bay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, env{args: os.Args[1:], in: os.Stdin, out: os.Stdout, errOut: os.Stderr}))
}

// An env is what a command is given of the world. Besides it, commands read
// the environment variables that begin in AGENTBAY_ and the data directory.
type env struct {
	args        []string
	in          io.Reader
	out, errOut io.Writer
	change      func(*bay.Bay) // what a test puts in the place of runtimes and images; nil outside tests
}

// run performs one command line and returns its exit status.
func run(ctx context.Context, e env) int {
	a := &app{env: e}
	root := a.rootCommand()
	root.SetArgs(e.args)
	root.SetIn(e.in)
	root.SetOut(e.out)
	root.SetErr(e.errOut)
	cmd, err := root.ExecuteContextC(ctx)
	return a.finish(cmd, err)
}
