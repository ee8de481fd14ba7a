package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// What a machine writes to its mounts is kept outside of the machine: on a disk
// of its own, mounted on the host below contextsDir by the machine's name, with
// a directory for each mount. There it outlives the machine's processes and the
// server's, and one unmount frees all of it.
//
// These are the only mounts that are real on the host, and so the ledger of
// machines speaks for them: undo unmounts by the machine's name, and Open what
// has no machine. contextsDir itself is a private mount, so that nothing below
// it spreads, and each machine's mount namespace drops its copy at once.
//
// The disk has no journal. A server that is killed loses nothing of it; of what
// was not saved when the host itself went down, nothing is trusted.

// Names below a machine's place in contextsDir, one directory a mount.
const (
	upperDir  = "upper"
	workDir   = "work"
	emptyDir  = "empty"  // the layer of a mount that has none
	mergedDir = "merged" // the overlay, as the machine sees it
)

// A stack is what the ledger says of a mount: written before it exists, and
// again once the machine shows it.
type stack struct {
	Name   string   `json:"name"`
	Target string   `json:"target"`
	Layers []string `json:"layers,omitempty"`
	Base   uint32   `json:"base,omitempty"` // the host's number of the machine's user 0
	Shown  bool     `json:"shown,omitempty"`

	dir string // what is kept of it
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

// contexts is where the machine's mounts are kept.
func (m *machine) contexts() string {
	return filepath.Join(m.rt.opt.StateDir, contextsDir, string(m.id))
}

// stackOf reads what the ledger says of a mount, nil if nothing.
func (m *machine) stackOf(name string) (*stack, error) {
	b, err := os.ReadFile(filepath.Join(m.path(mountsDir), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &stack{dir: filepath.Join(m.contexts(), name)}
	err = json.Unmarshal(b, s)
	return s, err
}

func (m *machine) recordStack(s *stack) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.Mkdir(m.path(mountsDir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	path := filepath.Join(m.path(mountsDir), s.Name)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (m *machine) forgetStack(s *stack) error {
	return os.Remove(filepath.Join(m.path(mountsDir), s.Name))
}

// Written implements [runtime.Runtime].
func (r *Runtime) Written(_ context.Context, id agentbay.SessionID, name string) (runtime.Written, error) {
	m := r.find(id)
	if m == nil {
		return runtime.Written{}, agentbay.Errorf(agentbay.NotFound, "there is no machine %s", id)
	}
	if !goodMount.MatchString(name) {
		return runtime.Written{}, agentbay.Errorf(agentbay.NotFound, "machine %s has no mount %q", id, name)
	}
	s, err := m.stackOf(name)
	if err != nil {
		return runtime.Written{}, agentbay.Wrap(err, agentbay.Unavailable, "cannot read the ledger of machine %s; try again", id)
	}
	if s == nil || !isMount(s.path(mergedDir)) {
		return runtime.Written{}, agentbay.Errorf(agentbay.NotFound, "machine %s has no mount %q", id, name)
	}
	return runtime.Written{
		Upper: s.path(upperDir), Merged: s.path(mergedDir), Base: s.Base,
		Close: func() error { return nil },
	}, nil
}

// isMount reports whether something is mounted at path.
func isMount(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// openContexts makes contextsDir a mount of its own, from which nothing spreads,
// and clears it of what has no machine.
func (r *Runtime) openContexts() error {
	dir := filepath.Join(r.opt.StateDir, contextsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if !isMount(dir) {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if _, ok := r.machines[agentbay.SessionID(e.Name())]; ok {
			continue
		}
		if err := detach(filepath.Join(dir, e.Name())); err != nil {
			r.opt.Log.Warn("what a machine has left could not be cleared away", "session", e.Name(), "error", err)
		}
	}
	return err
}

// closeContexts takes back what openContexts did, once there is no machine.
func (r *Runtime) closeContexts() error {
	return detach(filepath.Join(r.opt.StateDir, contextsDir))
}

// hideContexts drops the calling thread's copy of every machine's mounts. The
// thread has mounts of its own.
func (r *Runtime) hideContexts() error {
	return unmountAll(filepath.Join(r.opt.StateDir, contextsDir))
}

// unmountAll unmounts what is mounted at dir, with all below.
func unmountAll(dir string) error {
	for {
		err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == unix.EINVAL || err == unix.ENOENT {
			return nil // nothing is mounted there any more
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
}

// detach unmounts what is at dir, and removes dir. It never removes what is in
// it: were something still mounted there, that would be lost.
func detach(dir string) error {
	if err := unmountAll(dir); err != nil {
		return err
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// keepWritten mounts the disk for what the machine writes to its mounts, unless
// it is there. A file that is not mounted is none that a machine has seen, so it
// is made anew: the old one might still be attached to a device, and a file
// that two mounts write to is soon broken.
func (m *machine) keepWritten() error {
	place := m.contexts()
	if isMount(place) {
		return nil
	}
	if err := os.Mkdir(place, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !m.rt.lends {
		return m.keepUnbounded(place)
	}
	if err := os.RemoveAll(m.path(writtenFile)); err != nil {
		return err
	}
	d, err := m.rt.newDisk(m.path(writtenFile), m.rec.Limits.Disk)
	if err != nil {
		return err
	}
	defer unix.Close(d.mount)
	return unix.MoveMount(d.mount, "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// keepUnbounded lends the host's own file system, on a host without loop devices.
func (m *machine) keepUnbounded(place string) error {
	dir := m.path(writtenDir)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Mount(dir, place, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return unix.Mount("", place, "", unix.MS_PRIVATE, "")
}

// diskLimit is how much the machine can write: to its root file system, and as
// much again to mounts once it has any.
func (m *machine) diskLimit() int64 {
	if isMount(m.contexts()) {
		return 2 * m.rec.Limits.Disk
	}
	return m.rec.Limits.Disk
}

// mountsUsed is what the machine's mounts take on the host's disk.
func (m *machine) mountsUsed() int64 {
	if _, err := os.Stat(m.path(writtenFile)); err != nil {
		return allocatedBelow(m.path(writtenDir))
	}
	var st unix.Statfs_t
	if !isMount(m.contexts()) || unix.Statfs(m.contexts(), &st) != nil {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
