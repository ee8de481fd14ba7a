//go:build !linux

package shell

import (
	"context"
	"os"

	"github.com/agentbay/agentbay/internal/guest"
)

// A process is bash running one command.
type process struct{ killed bool }

func start(_, _ string, _ []string, _, _ *os.File) (*process, error) {
	return nil, guest.Failf(guest.Unsuccessful, "commands are not supported on this kind of session yet")
}

func (*process) wait(context.Context) int { return -1 }

func waiting(*os.File) int64 { return 0 }
