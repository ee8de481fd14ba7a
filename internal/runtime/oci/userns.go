package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A userNS is a user namespace of a slot's own: its root is nobody outside, and
// nobody in another session.
type userNS struct {
	file *os.File
	base uint32 // the host's number of its user 0
}

// idsPerSlot is how many users a session has.
const idsPerSlot = 1 << 16

// newUserNS makes the user namespace of slot n.
func newUserNS(n int) (*userNS, error) {
	return makeUserNS(1<<30 + uint32(n)*idsPerSlot)
}

// hostRootInside is the number under which a mount that is shifted for a machine
// keeps what the host's own root makes there. No machine has such a user.
const hostRootInside = idsPerSlot

// newShift makes a user namespace to shift mounts for the machine whose users
// begin at base. The host's root can write to them.
func newShift(base uint32) (*userNS, error) {
	return makeUserNS(base, syscall.SysProcIDMap{ContainerID: hostRootInside, HostID: 0, Size: 1})
}

// makeUserNS makes a user namespace. A short-lived process is needed to make it;
// the open file keeps it.
func makeUserNS(base uint32, more ...syscall.SysProcIDMap) (*userNS, error) {
	u := &userNS{base: base}
	ids := append([]syscall.SysProcIDMap{{HostID: int(base), Size: idsPerSlot}}, more...)
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer cmd.Wait()
	defer in.Close()
	u.file, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	return u, err
}

// idmap mounts at target what is at source, with its users shifted into u.
func (u *userNS) idmap(source, target string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open %s: %w", source, err)
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(u.file.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("the file system of %s cannot shift users: %w", source, err)
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// canIdmap reports why sessions whose layers are at dir can have no users of
// their own, or nil.
func canIdmap(dir string) error {
	u, err := newUserNS(0)
	if err != nil {
		return err
	}
	defer u.file.Close()
	return onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		return u.idmap(dir, dir)
	})
}
