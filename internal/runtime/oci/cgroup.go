package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// A hierarchy is the host's cgroup file systems: one tree on v2, a tree a
// controller on v1 and its hybrid with v2.
//
// A machine has a cgroup <parent>/<id> with two below: "cli", which holds the
// OCI runtime's command line from its first instruction, and "box", which the
// command line makes and limits. So every process of a machine can be found
// from the machine's name alone. The one in between holds none, as v2 demands.
type hierarchy struct {
	unified bool              // v2 alone
	mounts  map[string]string // controller → mount point; on v2 all the same
	parent  string            // such as "/agentbay"
}

// tracking is the v1 controller in whose tree processes are looked for.
const tracking = "pids"

// findHierarchy reads from /proc/mounts what the host has.
func findHierarchy(parent string) (hierarchy, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return hierarchy{}, agentbay.Wrap(err, agentbay.Unavailable, "cannot read the host's mounts; is /proc mounted?")
	}
	defer f.Close()
	h := hierarchy{mounts: map[string]string{}, parent: parent}
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); len(fields) >= 4 {
			h.add(fields[1], fields[2], fields[3])
		}
	}
	for _, c := range []string{"cpu", "memory", tracking} {
		if h.mounts[c] == "" {
			return h, agentbay.Errorf(agentbay.Unavailable, "this host has no %s cgroup controller; mount the cgroup file systems, or boot with it enabled", c)
		}
	}
	return h, nil
}

// add takes one mount into account. A v2 tree whose controllers v1 has taken is
// of use only for what v1 has not.
func (h *hierarchy) add(dir, kind, options string) {
	switch kind {
	case "cgroup2":
		b, _ := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		controllers := strings.Fields(string(b))
		h.unified = slices.Contains(controllers, tracking)
		for _, c := range append(controllers, kind) {
			h.mounts[c] = dir
		}
	case "cgroup":
		for o := range strings.SplitSeq(options, ",") {
			h.mounts[o] = dir // controllers are listed among the mount's options
		}
	}
}

// dir returns a machine's cgroup in a controller's tree.
func (h hierarchy) dir(controller string, id agentbay.SessionID, below ...string) string {
	return filepath.Join(append([]string{h.mounts[controller], h.parent, string(id)}, below...)...)
}

// boxPath is the cgroup of the OCI spec.
func (h hierarchy) boxPath(id agentbay.SessionID) string {
	return filepath.Join("/", h.parent, string(id), "box")
}

// boundsSwap reports whether the kernel keeps account of swap, so that it can be
// denied. Without, memory that is over the limit may go to the host's swap.
func (h hierarchy) boundsSwap() bool {
	name := "memory.memsw.limit_in_bytes"
	if h.unified {
		name = "*/memory.swap.max" // the root has none
	}
	files, _ := filepath.Glob(filepath.Join(h.mounts["memory"], name))
	return len(files) > 0
}

// make makes the cgroup for the command line.
func (h hierarchy) make(id agentbay.SessionID) error {
	return os.MkdirAll(h.dir(tracking, id, "cli"), 0o755)
}

// enter arranges that what the calling thread starts with attr starts in the
// machine's cgroup. The file, if any, is to be closed after the start.
func (h hierarchy) enter(id agentbay.SessionID, attr *syscall.SysProcAttr) (*os.File, error) {
	cli := h.dir(tracking, id, "cli")
	if !h.unified {
		// On v1 a thread has a cgroup of its own, and its children start there.
		return nil, os.WriteFile(filepath.Join(cli, "tasks"), []byte("0"), 0)
	}
	f, err := os.Open(cli)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	return f, nil
}

// kill ends every process of the machine and returns when there is none.
func (h hierarchy) kill(ctx context.Context, id agentbay.SessionID) error {
	h.stopForks(id)
	pause := time.Millisecond
	for {
		pids, err := h.processes(id)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			// On v1 a thread of ours that has just started the command line shows
			// as this whole process, until it is gone.
			if pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended since
			}
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 50*time.Millisecond)
		case <-ctx.Done():
			return fmt.Errorf("%d processes of %s do not end: %w", len(pids), id, ctx.Err())
		}
	}
}

// stopForks keeps a fork bomb from outrunning kill. A cgroup that is not there
// has nobody to stop.
func (h hierarchy) stopForks(id agentbay.SessionID) {
	for _, below := range []string{"cli", "box"} {
		_ = os.WriteFile(h.dir(tracking, id, below, "pids.max"), []byte("0"), 0)
		_ = os.WriteFile(h.dir(tracking, id, below, "cgroup.kill"), []byte("1"), 0)
	}
}

// processes lists the machine's processes, wherever below its cgroup they are.
func (h hierarchy) processes(id agentbay.SessionID) (pids []int, err error) {
	err = filepath.WalkDir(h.dir(tracking, id), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		some, err := readPids(path)
		pids = append(pids, some...)
		return err
	})
	return pids, err
}

func readPids(path string) (pids []int, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	for _, s := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(s); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// remove removes the machine's cgroups from every tree. They must be empty.
func (h hierarchy) remove(ctx context.Context, id agentbay.SessionID) error {
	var errs []error
	for _, mount := range h.trees() {
		errs = append(errs, removeTree(ctx, filepath.Join(mount, h.parent, string(id))))
	}
	return errors.Join(errs...)
}

// removeParent removes the cgroup above all machines, if no other bay uses it.
func (h hierarchy) removeParent() {
	for _, mount := range h.trees() {
		_ = unix.Rmdir(filepath.Join(mount, h.parent))
	}
}

// trees returns every mount point once.
func (h hierarchy) trees() []string {
	var list []string
	for _, m := range h.mounts {
		list = append(list, m)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// removeTree removes a cgroup and those below it. The kernel may hold one for a
// moment after its last process has been reaped.
func removeTree(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(ctx, filepath.Join(dir, e.Name())))
		}
	}
	for {
		rmErr := unix.Rmdir(dir)
		if rmErr == nil || rmErr == unix.ENOENT {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("remove cgroup %s: %w", dir, rmErr))
		}
	}
}

// counter reads one number of a machine's box: from the v1 file, or the v2 file
// if the controller is in the v2 tree. With a key it is the number after that
// word. What is not there counts zero.
func (h hierarchy) counter(id agentbay.SessionID, controller, v1, v2, key string) int64 {
	name := v1
	if h.unified {
		name = v2
	}
	b, _ := os.ReadFile(h.dir(controller, id, "box", name))
	return number(string(b), key)
}

// number finds the number after key in lines of "key number"; without a key it
// is the whole text.
func number(text, key string) int64 {
	if key == "" {
		n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		return n
	}
	for line := range strings.Lines(text) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && word == key {
			n, _ := strconv.ParseInt(rest, 10, 64)
			return n
		}
	}
	return 0
}
