//go:build linux

package mountpoint

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// part is the name in a mount's root under which a file is while it is copied,
// so that a file that has its name is whole. What has that name at a target is
// not copied.
const part = ".agentbay-part"

// A filler copies what is at a target to the mount that will hide it.
type filler struct {
	ctx      context.Context
	from, to *os.Root
	device   uint64 // a directory on another is somebody else's mount
}

// fill copies what is at a target to its mount, where that has nothing of its
// name. The mount's root gets the target's mode.
func fill(ctx context.Context, p Point, from *os.Root) error {
	err := (&filler{ctx: ctx, from: from, to: p.Mount}).run()
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return agentbay.Wrap(err, agentbay.Exhausted,
			"what is at %q already does not fit on the session's disk beside the mount; mount at an empty directory, or raise the limit", p.Target)
	}
	return err
}

func (f *filler) run() error {
	info, err := f.from.Lstat(".")
	if err != nil {
		return err
	}
	at, err := device(info, nil)
	if err != nil {
		return err
	}
	f.device = at.dev
	if err := f.to.RemoveAll(part); err != nil {
		return err
	}
	if err := f.entries("."); err != nil {
		return err
	}
	return f.to.Chmod(".", info.Mode())
}

// maxDepth bounds how deep a tree is copied: each level costs an open directory.
const maxDepth = 256

// entries copies what is in a directory that both have.
func (f *filler) entries(dir string) error {
	if strings.Count(dir, "/") >= maxDepth {
		return agentbay.Errorf(agentbay.Invalid, "what is at the target is nested more than %d directories deep; mount somewhere else", maxDepth)
	}
	d, err := f.from.Open(dir)
	if err != nil {
		return vanished(err)
	}
	defer d.Close()
	for {
		list, err := d.ReadDir(256)
		for _, e := range list {
			if err := f.entry(path.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// vanished is nil if somebody has removed meanwhile what was to be copied, or
// put something else in its place.
func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	return err
}

// entry copies what has a name, unless the mount has something of it.
func (f *filler) entry(name string) error {
	if err := f.ctx.Err(); err != nil || name == part {
		return err
	}
	info, err := f.from.Lstat(name)
	if err != nil {
		return vanished(err)
	}
	if at, err := device(info, nil); err != nil || info.IsDir() && at.dev != f.device {
		return err
	}
	there, err := f.to.Lstat(name)
	switch {
	case err == nil && there.IsDir() && info.IsDir():
		return f.entries(name)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return f.dir(name, info)
	case fs.ModeSymlink:
		return f.link(name, info)
	case 0:
		return f.file(name)
	}
	return nil // devices, sockets and pipes are not kept
}

func (f *filler) dir(name string, info fs.FileInfo) error {
	if err := f.to.Mkdir(name, 0o700); err != nil {
		return err
	}
	if err := f.entries(name); err != nil {
		return err
	}
	return f.dress(name, info)
}

func (f *filler) link(name string, info fs.FileInfo) error {
	to, err := f.from.Readlink(name)
	if err != nil {
		return vanished(err)
	}
	if err := f.to.Symlink(to, name); err != nil {
		return err
	}
	uid, gid := ownerOf(info)
	return f.to.Lchown(name, uid, gid)
}

// file copies a file. Should something else have taken its place since, it is
// passed over; opening that does not wait.
func (f *filler) file(name string) error {
	src, err := f.from.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return vanished(err)
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := f.content(src); err != nil {
		return err
	}
	if err := f.dress(part, info); err != nil {
		return err
	}
	return f.to.Rename(part, name)
}

// content copies a file's bytes to part.
func (f *filler) content(src *os.File) (err error) {
	dst, err := f.to.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	for {
		const piece = 8 << 20 // between looks at whether to go on
		_, err := io.CopyN(dst, src, piece)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, f.ctx.Err()); err != nil {
			return err
		}
	}
}

// dress gives a copy the owner, mode and time of what it is a copy of.
func (f *filler) dress(name string, info fs.FileInfo) error {
	uid, gid := ownerOf(info)
	return errors.Join(
		f.to.Lchown(name, uid, gid),
		f.to.Chmod(name, info.Mode()),
		f.to.Chtimes(name, info.ModTime(), info.ModTime()),
	)
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid)
}
