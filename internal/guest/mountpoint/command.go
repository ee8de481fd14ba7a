//go:build linux

package mountpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// Command is the guest's argument that makes it show mounts instead of
// performing tools. Then come the user's and the group's number, and for each
// mount its name in Hub and its target.
const Command = "show-mounts"

// Hub is where a session's root finds mounts that were given to it from outside.
const Hub = Reserved + "/mounts"

// A Failure is what the command says, in JSON, when it fails.
type Failure struct {
	Code    agentbay.Code `json:"code"`
	Message string        `json:"message"`
}

// Main performs the command and returns its exit status.
func Main(args []string, out io.Writer) int {
	err := show(args)
	if err == nil {
		return 0
	}
	f := Failure{agentbay.Internal, err.Error()}
	var known *agentbay.Error
	if errors.As(err, &known) {
		f.Code, f.Message = known.Code, known.Message
	}
	json.NewEncoder(out).Encode(f) // who does not read it has the status
	return 1
}

func show(args []string) error {
	ps, err := parse(args)
	if err != nil {
		return err
	}
	unix.Umask(0o022)
	ps.Attach = func(p Point, target *os.File) error {
		return unix.Mount(p.Mount.Name(), fmt.Sprintf("/proc/self/fd/%d", target.Fd()), "", unix.MS_BIND, "")
	}
	return ps.Show(context.Background())
}

func parse(args []string) (ps Points, err error) {
	if len(args) < 2 || len(args)%2 != 0 {
		return ps, fmt.Errorf("%s takes a user, a group, and pairs of a name and a target", Command)
	}
	if ps.UID, err = strconv.Atoi(args[0]); err != nil {
		return ps, err
	}
	if ps.GID, err = strconv.Atoi(args[1]); err != nil {
		return ps, err
	}
	for i := 2; i < len(args); i += 2 {
		root, err := os.OpenRoot(filepath.Join(Hub, args[i]))
		if err != nil {
			return ps, err
		}
		ps.List = append(ps.List, Point{Target: args[i+1], Mount: root})
	}
	return ps, nil
}
