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

// A Report is what the command says, in JSON.
type Report struct {
	Code    agentbay.Code  `json:"code,omitempty"` // why it failed
	Message string         `json:"message,omitempty"`
	Left    map[string]int `json:"left,omitempty"` // as in Points
}

// Main performs the command and returns its exit status.
func Main(args []string, out io.Writer) int {
	left, err := show(args)
	report, status := Report{Left: left}, 0
	if err != nil {
		report, status = failure(err), 1
	}
	json.NewEncoder(out).Encode(report) // who does not read it has the status
	return status
}

func failure(err error) Report {
	var known *agentbay.Error
	if errors.As(err, &known) {
		return Report{Code: known.Code, Message: known.Message}
	}
	return Report{Code: agentbay.Internal, Message: err.Error()}
}

func show(args []string) (left map[string]int, err error) {
	ps, err := parse(args)
	if err != nil {
		return nil, err
	}
	unix.Umask(0o022)
	ps.Attach = func(p Point, target *os.File) error {
		return unix.Mount(p.Mount.Name(), fmt.Sprintf("/proc/self/fd/%d", target.Fd()), "", unix.MS_BIND, "")
	}
	err = ps.Show(context.Background())
	return ps.Left, err
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
