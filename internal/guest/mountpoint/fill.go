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
	*Points
	ctx    context.Context
	to     *os.Root
	device uint64 // a directory on another is somebody else's mount
	left   int    // names that were not copied, because the user may not read them
}

// fill copies what is at a target to its mount, where that has nothing of its
// name. The mount's root gets the target's mode.
func (ps *Points) fill(ctx context.Context, p Point, from trail) error {
	f := &filler{Points: ps, ctx: ctx, to: p.Mount}
	err := f.run(from)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return agentbay.Wrap(err, agentbay.Exhausted,
			"what is at %q already does not fit on the session's disk beside the mount; mount at an empty directory, or raise the limit", p.Target)
	}
	if f.left > 0 {
		if ps.Left == nil {
			ps.Left = map[string]int{}
		}
		ps.Left[p.Target] = f.left
	}
	return err
}

func (f *filler) run(from trail) error {
	top := from.last().dir
	st, err := statOf(top)
	if err != nil {
		return err
	}
	info, err := top.Stat()
	if err != nil {
		return err
	}
	f.device = uint64(st.Dev)
	if err := f.to.RemoveAll(part); err != nil {
		return err
	}
	reached, err := f.mayReach(from)
	if err != nil {
		return err
	}
	if !reached || !f.mayRead(st) {
		f.left++
	} else if err := f.entries(top, "."); err != nil {
		return err
	}
	return f.to.Chmod(".", info.Mode())
}

// maxDepth bounds how deep a tree is copied: each level costs an open directory.
const maxDepth = 256

// entries copies what is in an open directory, which the mount has under dir.
func (f *filler) entries(d *os.File, dir string) error {
	if strings.Count(dir, "/") >= maxDepth {
		return agentbay.Errorf(agentbay.Invalid, "what is at the target is nested more than %d directories deep; mount somewhere else", maxDepth)
	}
	for {
		names, err := d.Readdirnames(256)
		for _, name := range names {
			if err := f.entry(d, name, path.Join(dir, name)); err != nil {
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
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// entry copies what has a name in an open directory to rel, unless the mount
// has something there.
func (f *filler) entry(d *os.File, name, rel string) error {
	if err := f.ctx.Err(); err != nil || rel == part {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return vanished(err)
	}
	there, err := f.to.Lstat(rel)
	has := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR && (!has || there.IsDir()):
		return f.dir(d, name, rel, has)
	case has:
		return nil
	case kind == unix.S_IFLNK:
		return f.link(d, name, rel, st)
	case kind == unix.S_IFREG:
		return f.file(d, name, rel)
	}
	return nil // devices, sockets and pipes are not kept
}

// open opens what has a name in an open directory, to be copied. It returns nil
// if that is not to be: something else has taken its place, or it is a directory
// on another device, or the user may not read it.
func (f *filler) open(d *os.File, name string, kind uint32) (*os.File, os.FileInfo, error) {
	src, err := openAt(d, name)
	if err != nil {
		return nil, nil, vanished(err)
	}
	st, err := statOf(src)
	if err == nil && st.Mode&unix.S_IFMT == kind && (kind != unix.S_IFDIR || uint64(st.Dev) == f.device) {
		if f.mayRead(st) {
			info, err := src.Stat()
			return src, info, err
		}
		f.left++
	}
	return nil, nil, errors.Join(err, src.Close())
}

func (f *filler) dir(d *os.File, name, rel string, has bool) error {
	src, info, err := f.open(d, name, unix.S_IFDIR)
	if src == nil || err != nil {
		return err
	}
	defer src.Close()
	if has {
		return f.entries(src, rel)
	}
	if err := f.to.Mkdir(rel, 0o700); err != nil {
		return err
	}
	if err := f.entries(src, rel); err != nil {
		return err
	}
	return f.dress(rel, info)
}

func (f *filler) link(d *os.File, name, rel string, st unix.Stat_t) error {
	to, err := readlinkAt(d, name)
	if err != nil {
		return vanished(err)
	}
	if err := f.to.Symlink(to, rel); err != nil {
		return err
	}
	return f.to.Lchown(rel, int(st.Uid), int(st.Gid))
}

// file copies a file. Should something else have taken its place since, it is
// passed over; opening that does not wait.
func (f *filler) file(d *os.File, name, rel string) error {
	src, info, err := f.open(d, name, unix.S_IFREG)
	if src == nil || err != nil {
		return err
	}
	defer src.Close()
	if err := f.content(src); err != nil {
		return err
	}
	if err := f.dress(part, info); err != nil {
		return err
	}
	return f.to.Rename(part, rel)
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
