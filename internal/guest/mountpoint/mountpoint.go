//go:build linux

// Package mountpoint makes directories of a session show mounts. It runs inside
// the session's own view of the file system, as its root and with the right to
// mount, so that no path and no link can lead it out of the session. Within, it
// does nothing to what is root's on the user's behalf: it follows no link that
// the user can change, and copies nothing that the user may not read. Where the
// mounts come from is decided by who calls it.
package mountpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// Reserved is the directory of a session that holds what is not the session's.
const Reserved = "/.agentbay"

// A Point is a directory that is to show a mount.
type Point struct {
	Target string
	Mount  *os.Root // the mount's own root directory
}

// Points are shown together.
type Points struct {
	List     []Point
	Root     int // the number of the session's root here
	UID, GID int // the session's user: whose directories are that have to be made

	// Attach mounts the mount of a point on its target.
	Attach func(p Point, target *os.File) error

	// Left tells how much of what was at a target is not in its mount, because the
	// user may not read it.
	Left map[string]int
}

// Show shows every point, in order, or none if it fails. What is at a target
// already, and the user may read, is copied to the mount where that has nothing
// of its name. A point that is shown already is left as it is. If it fails, the
// calling thread's working directory is anywhere.
//
// Invalid: a target cannot be a directory, or is a link that the user can change.
// Exhausted: there is no room for what is at a target.
func (ps *Points) Show(ctx context.Context) error {
	var shown []trail
	defer func() {
		for _, t := range shown {
			t.close()
		}
	}()
	for _, p := range ps.List {
		t, err := ps.show(ctx, p)
		if err != nil {
			hide(shown)
			return err
		}
		if t != nil {
			shown = append(shown, t)
		}
	}
	return nil
}

// hide takes back what was shown, the last first. What is mounted on cannot be
// renamed, and its name is looked up where it was.
func hide(shown []trail) {
	for _, t := range slices.Backward(shown) {
		if err := unix.Fchdir(int(t.parent().Fd())); err == nil {
			_ = unix.Unmount(t.last().name, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) // who may show it may hide it
		}
	}
}

// show shows one point and returns the trail to it, nil if it was shown before.
func (ps *Points) show(ctx context.Context, p Point) (shown trail, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, made, err := ps.open(p.Target)
	if err != nil {
		return nil, refused(p.Target, err)
	}
	defer func() {
		if shown == nil {
			t.close()
		}
	}()
	target := t.last().dir
	if already, err := showing(target, p.Mount); already || err != nil {
		return nil, err
	}
	if err := check(p.Target, target); err != nil {
		return nil, err
	}
	if !made {
		if err := ps.fill(ctx, p, t); err != nil {
			return nil, err
		}
	}
	if err := ps.Attach(p, target); err != nil {
		return nil, err
	}
	return t, nil
}

// showing reports whether the directory is the mount's root.
func showing(dir *os.File, mount *os.Root) (bool, error) {
	there, err := dir.Stat()
	if err != nil {
		return false, err
	}
	own, err := mount.Stat(".")
	return err == nil && os.SameFile(there, own), err
}

// open walks to the target, and makes it the user's if it was not there.
func (ps *Points) open(target string) (t trail, made bool, err error) {
	if err := Check(target); err != nil {
		return nil, false, err
	}
	t, made, err = resolve(target, ps.Root)
	if err != nil || !made {
		return t, false, err
	}
	if err := t.last().dir.Chown(ps.UID, ps.GID); err != nil {
		t.close()
		return nil, false, err
	}
	return t, true, nil
}

// mayRead reports whether the user may read a file or list and enter a
// directory, as far as that is its own to say. What is the user's own it may
// make readable.
func (ps *Points) mayRead(st unix.Stat_t) bool {
	bits := uint32(unix.S_IRUSR | unix.S_IRGRP | unix.S_IROTH)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		bits |= unix.S_IXUSR | unix.S_IXGRP | unix.S_IXOTH
	}
	return ps.may(st, bits)
}

// mayReach reports whether the user may go through all directories that lead to
// the last one.
func (ps *Points) mayReach(t trail) (bool, error) {
	for _, s := range t[:len(t)-1] {
		st, err := statOf(s.dir)
		if err != nil || !ps.may(st, unix.S_IXUSR|unix.S_IXGRP|unix.S_IXOTH) {
			return false, err
		}
	}
	return true, nil
}

// may reports whether the mode of what is not the user's grants it all of bits,
// which are the same for owner, group and others.
func (ps *Points) may(st unix.Stat_t, bits uint32) bool {
	class := uint32(unix.S_IRWXO)
	switch {
	case ps.UID == ps.Root || int(st.Uid) == ps.UID:
		return true
	case int(st.Gid) == ps.GID:
		class = unix.S_IRWXG
	}
	return st.Mode&bits&class == bits&class
}

// refused says why a target cannot be a directory, or a full disk.
func refused(target string, err error) error {
	var known *agentbay.Error
	var errno syscall.Errno
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		return agentbay.Wrap(err, agentbay.Exhausted, "there is no room for the directory %q; delete files of the session", target)
	case errors.As(err, &errno):
		return agentbay.Wrap(err, agentbay.Invalid, "%q cannot be a directory (%s); mount somewhere else", target, errno.Error())
	}
	return agentbay.Wrap(err, agentbay.Invalid, "%q cannot be a directory; mount somewhere else", target)
}

// system is where the kernel's own file systems are.
var system = []string{"/proc", "/sys", "/dev", "/sys/fs/cgroup", "/dev/pts", "/dev/shm", "/dev/mqueue"}

// Check refuses a target that can be told to be wrong by its name.
func Check(target string) error {
	clean := filepath.Clean(target)
	switch {
	case !filepath.IsAbs(target) || strings.ContainsRune(target, 0):
		return agentbay.Errorf(agentbay.Invalid, "%q is not an absolute path; a mount needs one", target)
	case clean == "/":
		return wholeSystem(target)
	}
	for _, dir := range append([]string{Reserved}, system...) {
		if clean == dir || strings.HasPrefix(clean, dir+"/") {
			return belongs(target, dir)
		}
	}
	return nil
}

// check refuses a target that a link has led to where it may not be.
func check(target string, dir *os.File) error {
	there, err := device(dir.Stat())
	if err != nil {
		return refused(target, err)
	}
	top, err := device(os.Stat("/"))
	if err != nil {
		return refused(target, err)
	}
	if there == top {
		return wholeSystem(target)
	}
	for _, path := range append([]string{Reserved}, system...) {
		at, err := device(os.Stat(path))
		if err != nil {
			continue // this session has none
		}
		if at == there || at.dev == there.dev && at.dev != top.dev {
			return belongs(target, path)
		}
	}
	return nil
}

func wholeSystem(target string) error {
	return agentbay.Errorf(agentbay.Invalid, "%q is the whole file system; mount at a directory in it", target)
}

func belongs(target, dir string) error {
	return agentbay.Errorf(agentbay.Invalid, "%q lies in %s, which belongs to the system; mount somewhere else", target, dir)
}

// A node is what tells directories apart.
type node struct{ dev, ino uint64 }

func device(info fs.FileInfo, err error) (node, error) {
	if err != nil {
		return node{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return node{}, fmt.Errorf("%s has no device number", info.Name())
	}
	return node{uint64(st.Dev), st.Ino}, nil
}
