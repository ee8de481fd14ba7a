//go:build !linux

package shell

import (
	"context"
	"io/fs"
	"os"

	"github.com/agentbay/agentbay/internal/guest"
)

// A process is bash running one command.
type process struct {
	stdout, stderr *capture
	place          fs.FileInfo
	killed         bool
}

func (s *Shell) start(string, string, []string) (*process, error) {
	return nil, guest.Failf(guest.Unsuccessful, "commands are not supported on this kind of session yet")
}

func (s *Shell) prepare(dir string, env []string) (*process, error) { return s.start("", dir, env) }

func (*process) begin(string) error       { return nil }
func (*process) alive() bool              { return false }
func (*process) discard()                 {}
func (*process) wait(context.Context) int { return -1 }

func waiting(*os.File) int64 { return 0 }
