package oci

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A view is the file system of a machine that runs, as one of its processes on
// the host has it: the container's first, or the sandbox's gofer.
type view struct {
	mounts *os.File // its mount namespace
	root   *os.File // its root directory
	users  *userNS  // nil if they are the host's
}

func (v *view) close() {
	for _, f := range []*os.File{v.mounts, v.root} {
		if f != nil {
			f.Close()
		}
	}
	if v.users != nil {
		v.users.file.Close()
	}
}

// base is the host's number of the machine's user 0.
func (v *view) base() uint32 {
	if v.users == nil {
		return 0
	}
	return v.users.base
}

// openView opens the machine's view.
func (m *machine) openView() (*view, error) {
	pid, err := m.rt.opt.Profile.opener(m)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	v, err := viewOf(pid)
	if err == nil && hasEnded(fd) { // what was opened may be another's of that number
		err = unix.ESRCH
	}
	if err != nil {
		v.close()
		return nil, fmt.Errorf("the file system of process %d: %w", pid, err)
	}
	return v, nil
}

func viewOf(pid int) (v *view, err error) {
	v = new(view)
	if v.mounts, err = os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid)); err != nil {
		return v, err
	}
	if v.root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return v, err
	}
	v.users, err = usersOf(pid)
	return v, err
}

// usersOf shifts mounts for the users of a process, nil if they are the host's.
func usersOf(pid int) (*userNS, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b))
	if len(fields) != 3 || fields[0] != "0" {
		return nil, fmt.Errorf("unexpected users %q", b)
	}
	base, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil || base == 0 {
		return nil, err
	}
	return newShift(uint32(base))
}

// enter runs f on a thread that has the view's mounts.
func (v *view) enter(f func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(int(v.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return err
		}
		return f()
	})
}

// firstProcess is the opener of a container.
func firstProcess(m *machine) (int, error) { return m.rec.Pid, nil }
