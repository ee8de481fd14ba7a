package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

// statuses is the exit status of each code. They are part of the interface:
// scripts test for them.
var statuses = map[agentbay.Code]int{
	agentbay.Internal:    1,
	agentbay.Invalid:     2,
	agentbay.Denied:      3,
	agentbay.NotFound:    4,
	agentbay.Conflict:    5,
	agentbay.Exhausted:   6,
	agentbay.Unavailable: 7,
}

const interrupted = 130 // as shells report SIGINT

// exitHelp is the part of the help that says what an exit status means.
const exitHelp = `Exit status: 0 done, 1 failed in a way that should be reported, 2 wrong usage or
arguments, 3 not allowed, 4 not found, 5 in the wrong state, 6 full or over a limit,
7 unavailable, try again, 130 interrupted. "agentbay session exec" exits with the
status of the command it ran, or 125 if it could not be run.`

// hints say what a person might do next.
var hints = map[agentbay.Code]string{
	agentbay.Internal:    "`agentbay logs` shows what the server wrote; please report it",
	agentbay.Invalid:     "`%s --help` shows what is expected",
	agentbay.Denied:      "`eval \"$(agentbay env)\"` sets a key that works here; `agentbay apikey create NAME` makes one",
	agentbay.NotFound:    "`agentbay session ls`, `agentbay context ls`, `agentbay image ls` and `agentbay apikey ls` show what there is",
	agentbay.Conflict:    "`agentbay doctor` shows the state of this host",
	agentbay.Exhausted:   "`agentbay session rm ID` frees a session, `agentbay context rm` what is kept; `agentbay serve --help` shows the limits",
	agentbay.Unavailable: "is the server up? `agentbay up` starts one here; AGENTBAY_ENDPOINT says where another is",
}

// A quiet is an exit status that needs no words.
type quiet int

func (q quiet) Error() string { return fmt.Sprintf("exit status %d", int(q)) }

// A hinted is an error with a hint of its own.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// finish reports err and returns the exit status.
func (a *app) finish(cmd *cobra.Command, err error) int {
	var q quiet
	switch {
	case err == nil:
		return 0
	case errors.As(err, &q):
		return int(q)
	case errors.Is(err, context.Canceled):
		return interrupted
	}
	if !a.started { // cobra refused the command line
		err = agentbay.Errorf(agentbay.Invalid, "%s", err)
	}
	fmt.Fprintln(a.errOut, "agentbay:", err)
	fmt.Fprintln(a.errOut, "hint:", hintOf(cmd, err))
	return statuses[agentbay.CodeOf(err)]
}

func hintOf(cmd *cobra.Command, err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return hintFor(agentbay.CodeOf(err), cmd.CommandPath())
}

func hintFor(code agentbay.Code, command string) string {
	if code == agentbay.Invalid {
		return fmt.Sprintf(hints[code], command)
	}
	return hints[code]
}
