package oci

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest/mountpoint"
)

// showInContainer mounts stacks in a container. If it fails none is left there.
func showInContainer(ctx context.Context, m *machine, v *view, stacks []*stack) (left bool, err error) {
	ps := mountpoint.Points{Root: int(v.base()), UID: int(v.base() + m.rec.User.UID), GID: int(v.base() + m.rec.User.GID)}
	clones, err := cloneAll(stacks)
	defer clones.close()
	if err != nil {
		return false, err
	}
	roots := map[*os.Root]int{}
	for i, s := range stacks {
		root, err := os.OpenRoot(s.path(mergedDir))
		if err != nil {
			return false, err
		}
		defer root.Close()
		roots[root] = clones[i]
		ps.List = append(ps.List, mountpoint.Point{Target: s.Target, Mount: root})
	}
	ps.Attach = func(p mountpoint.Point, target *os.File) error { return move(roots[p.Mount], int(target.Fd())) }
	err = v.enter(func() error {
		unix.Umask(0o022)
		if err := actAs(v.base()); err != nil {
			return err
		}
		return ps.Show(ctx)
	})
	m.tellLeft(ps.Left)
	return false, err
}

// clones are mounts without a place.
type clones []int

// cloneAll clones the stacks' mounts.
func cloneAll(stacks []*stack) (list clones, err error) {
	for _, s := range stacks {
		fd, err := cloneMount(s.path(mergedDir))
		if err != nil {
			return list, err
		}
		list = append(list, fd)
	}
	return list, nil
}

func (c clones) close() {
	for _, fd := range c {
		unix.Close(fd)
	}
}

// move gives a mount without a place one.
func move(clone, target int) error {
	return unix.MoveMount(clone, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// actAs makes the files that the calling thread makes those of a user, and
// leaves the thread the right to make and change any. It is for threads that
// are given up.
func actAs(id uint32) error {
	const noSetuidFixup = 1 << 2 // SECBIT_NO_SETUID_FIXUP
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noSetuidFixup, 0, 0, 0); err != nil {
		return err
	}
	return errors.Join(unix.Setfsgid(int(id)), unix.Setfsuid(int(id)))
}
