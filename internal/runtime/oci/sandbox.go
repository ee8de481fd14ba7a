package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/mountpoint"
)

// gofer is the opener of a sandbox.
func gofer(m *machine) (int, error) {
	pids, err := m.rt.cgroups.processes(m.id)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if bytes.HasPrefix(line, []byte("runsc-gofer\x00")) {
			return pid, nil
		}
	}
	return 0, errors.New("the sandbox has no gofer")
}

// showInSandbox gives stacks to the gofer and has a command inside bind them. If
// it fails, left is whether the sandbox may show some of them all the same.
func showInSandbox(ctx context.Context, m *machine, v *view, stacks []*stack) (left bool, err error) {
	h, err := m.openHub(v)
	if err != nil {
		return false, err
	}
	defer h.close()
	if err := h.give(stacks); err != nil {
		return false, errors.Join(err, h.takeBack(stacks))
	}
	left, err = m.bindInside(ctx, stacks)
	if err != nil && !left {
		err = errors.Join(err, h.takeBack(stacks))
	}
	return left, err
}

// A hub is the directory of a sandbox in which mounts appear. What is in it is
// made on the host: the gofer has it read-only.
type hub struct {
	view *view
	dir  string // on the host
	fd   int    // as the gofer sees it
}

func (m *machine) openHub(v *view) (*hub, error) {
	fd, err := unix.Openat(int(v.root.Fd()), "."+mountpoint.Hub, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("the sandbox has no place for mounts: %w", err)
	}
	return &hub{v, m.path(hubDir), fd}, nil
}

func (h *hub) close() { unix.Close(h.fd) }

// give mounts stacks in the hub.
func (h *hub) give(stacks []*stack) error {
	clones, err := cloneAll(stacks)
	defer clones.close()
	if err != nil {
		return err
	}
	for _, s := range stacks {
		if err := os.Mkdir(filepath.Join(h.dir, s.Name), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return h.view.enter(func() error {
		for i, s := range stacks {
			if err := h.giveOne(clones[i], s.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// giveOne mounts a clone in the hub, unless a killed server has.
func (h *hub) giveOne(clone int, name string) error {
	place, err := unix.Openat(h.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	var own, there unix.Stat_t
	if err := errors.Join(unix.Fstat(clone, &own), unix.Fstat(place, &there)); err != nil {
		return err
	}
	if own.Dev == there.Dev {
		return nil
	}
	return move(clone, place)
}

// takeBack unmounts stacks that nothing in the sandbox is bound to.
func (h *hub) takeBack(stacks []*stack) error {
	return h.view.enter(func() error {
		if err := unix.Fchdir(h.fd); err != nil {
			return err
		}
		var errs []error
		for _, s := range stacks {
			errs = append(errs, unmountAll(s.Name))
		}
		return errors.Join(errs...)
	})
}

// bindCapabilities are what the command inside needs: to mount, and to make and
// copy what may be anybody's.
var bindCapabilities = []string{"CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"}

// bindInside runs the guest's program inside the sandbox once more, to bind what
// is in the hub.
func (m *machine) bindInside(ctx context.Context, stacks []*stack) (left bool, err error) {
	state, err := os.Open(m.path(stateDir))
	if err != nil {
		return false, err
	}
	defer state.Close()
	args := []string{"--root", fdPath(state), "exec", "--user", "0:0", "--cwd", "/"}
	for _, c := range bindCapabilities {
		args = append(args, "--cap", c)
	}
	args = append(args, m.containerID(), guestPath, mountpoint.Command,
		strconv.Itoa(int(m.rec.User.UID)), strconv.Itoa(int(m.rec.User.GID)))
	for _, s := range stacks {
		args = append(args, s.Name, s.Target)
	}
	var said bounded
	cmd := exec.CommandContext(ctx, m.rt.opt.Binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := onThread(func() error { return m.startInCgroup(cmd) }); err != nil {
		return false, err
	}
	if err := cmd.Wait(); err != nil {
		return said.verdict(err)
	}
	m.tellLeft(said.report().Left)
	return false, nil
}

// startInCgroup starts a command of the OCI runtime among the machine's own. The
// calling thread is given up.
func (m *machine) startInCgroup(cmd *exec.Cmd) error {
	f, err := m.rt.cgroups.enter(m.id, cmd.SysProcAttr)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	if f != nil {
		defer f.Close()
	}
	return cmd.Start()
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ text bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	const most = 8 << 10
	b.text.Write(p[:min(len(p), max(0, most-b.text.Len()))])
	return len(p), nil
}

// verdict tells what the command inside said of its failure. If it did not get
// to say anything, it may have done some of its work.
func (b *bounded) verdict(failed error) (left bool, err error) {
	r := b.report()
	if r.Message == "" {
		return true, fmt.Errorf("the command that mounts ended with %w: %s", failed, lastLine(b.valid()))
	}
	switch r.Code {
	case agentbay.Invalid, agentbay.Exhausted:
		return false, agentbay.Errorf(r.Code, "%s", r.Message)
	}
	return false, errors.New(r.Message)
}

// report is what the command inside said, empty if that is nothing to go by.
func (b *bounded) report() (r mountpoint.Report) {
	if json.Unmarshal([]byte(b.valid()), &r) != nil {
		return mountpoint.Report{}
	}
	return r
}

func (b *bounded) valid() string { return strings.ToValidUTF8(b.text.String(), "�") }
