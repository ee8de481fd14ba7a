//go:build linux

// Package mountpoint makes directories of a session show mounts. It runs inside
// the session's own view of the file system, as its root and with the right to
// mount, so that no path and no link can lead it anywhere else. Where the mounts
// come from is decided by who calls it.
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
	UID, GID int // whose directories are that have to be made

	// Attach mounts the mount of a point on its target.
	Attach func(p Point, target *os.File) error
}

// Show shows every point, in order, or none if it fails. What is at a target
// already is copied to the mount where that has nothing of its name. A point
// that is shown already is left as it is.
//
// Invalid: a target cannot be a directory.
// Exhausted: there is no room for what is at a target.
func (ps *Points) Show(ctx context.Context) error {
	var shown []string
	for _, p := range ps.List {
		already, err := ps.show(ctx, p)
		if err != nil {
			hide(shown)
			return err
		}
		if !already {
			shown = append(shown, p.Target)
		}
	}
	return nil
}

// hide takes back what was shown, the last first.
func hide(targets []string) {
	for _, target := range slices.Backward(targets) {
		_ = unix.Unmount(target, unix.MNT_DETACH) // who may show it may hide it
	}
}

// show shows one point, and reports whether it was shown before.
func (ps *Points) show(ctx context.Context, p Point) (already bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	root, made, err := ps.open(p.Target)
	if err != nil {
		return false, err
	}
	defer root.Close()
	target, err := root.Open(".")
	if err != nil {
		return false, refused(p.Target, err)
	}
	defer target.Close()
	if already, err = showing(target, p.Mount); already || err != nil {
		return already, err
	}
	if err := check(p.Target, target); err != nil {
		return false, err
	}
	if !made {
		if err := fill(ctx, p, root); err != nil {
			return false, err
		}
	}
	return false, ps.Attach(p, target)
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

// open opens the target, and makes it if it is not there.
func (ps *Points) open(target string) (root *os.Root, made bool, err error) {
	if err := Check(target); err != nil {
		return nil, false, err
	}
	root, err = os.OpenRoot(target)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return root, false, refused(target, err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(target)), 0o755); err != nil {
		return nil, false, refused(target, err)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return nil, false, refused(target, err)
	}
	if err := os.Lchown(target, ps.UID, ps.GID); err != nil {
		return nil, false, refused(target, err)
	}
	root, err = os.OpenRoot(target)
	return root, true, refused(target, err)
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
