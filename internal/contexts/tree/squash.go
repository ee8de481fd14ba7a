package tree

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// squash makes a stack of one layer that shows what s shows, by links to the
// same files. Those are never written to, so that is safe.
func (c *Cache) squash(ctx context.Context, s *stack) (*Checkout, error) {
	var dirs []int
	defer func() { closeAll(dirs) }()
	r := s.record
	r.Made, r.Layers = time.Now(), []sized{{}}
	for _, l := range s.Layers {
		fd, err := openTop(c.path("layers", l.ID))
		if err != nil {
			return nil, failed(err, "cache", l.ID)
		}
		dirs = append(dirs, fd)
		r.Layers[0].Bytes += l.Bytes
	}
	id, err := c.make(func(dir string) error {
		out, err := openTop(dir)
		if err != nil {
			return failed(err, "cache", dir)
		}
		defer unix.Close(out)
		return failed(merge(ctx, dirs, out, ""), "cache", dir)
	}, func() bool { return true })
	if err != nil {
		return nil, err
	}
	r.Layers[0].ID = id
	return c.record(r)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// merge makes in out what a stack of directories, topmost first, shows.
func merge(ctx context.Context, dirs []int, out int, rel string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from := map[string]int{} // the topmost directory that has a name
	for i, dir := range slices.Backward(dirs) {
		all, err := names(dir)
		if err != nil {
			return err
		}
		for _, name := range all {
			from[name] = i
		}
	}
	for name, i := range from {
		if err := mergeName(ctx, dirs[i:], out, rel, name); err != nil {
			return err
		}
	}
	return likeDir(dirs[0], out)
}

// mergeName makes a name that the first of dirs has.
func mergeName(ctx context.Context, dirs []int, out int, rel, name string) error {
	st, err := statAt(dirs[0], name)
	switch {
	case err != nil:
		return err
	case isWhiteout(st):
		return nil
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return unix.Linkat(dirs[0], name, out, name, 0)
	}
	below, err := descend(dirs, name)
	defer closeAll(below)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(out, name, 0o700); err != nil {
		return err
	}
	to, err := openDir(out, name)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return merge(ctx, below, to, path.Join(rel, name))
}

// descend opens the directories of a name that are seen at once: down to one
// that hides those below it.
func descend(dirs []int, name string) (below []int, err error) {
	for _, dir := range dirs {
		fd, err := openDir(dir, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return below, nil
		}
		if err != nil {
			return below, err
		}
		below = append(below, fd)
		if isOpaque(fd) {
			break
		}
	}
	return below, nil
}

// likeDir gives a directory the owner, mode and times of another.
func likeDir(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return setTimes(to, timeOf(st.Mtim))
}

func timeOf(ts unix.Timespec) time.Time { return time.Unix(ts.Sec, ts.Nsec).UTC() }

// isWhiteout reports whether an overlay hides what is below a name.
func isWhiteout(st unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// isOpaque reports whether a directory hides those below it.
func isOpaque(fd int) bool {
	var value [1]byte
	n, err := unix.Fgetxattr(fd, opaqueName, value[:])
	return err == nil && n == 1 && value[0] == 'y' || isRenamed(fd)
}

// redirectName is the attribute of a directory that shows another's.
const redirectName = "trusted.overlay.redirect"

// isRenamed reports whether a directory of an upper directory was renamed, and
// shows what a directory of the layers has under its old name. Which one that
// is, only the overlay needs to know.
func isRenamed(fd int) bool {
	_, err := unix.Fgetxattr(fd, redirectName, nil)
	return err == nil
}
