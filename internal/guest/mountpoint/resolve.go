//go:build linux

package mountpoint

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// A path that the session's user can change says nothing about what root finds
// there a moment later. So a target is walked to from one open directory to the
// next, and of links only those are followed that nobody but root can have made.

// A trail is how a directory was reached: each of its directories is open, and
// was in the one before when it was opened. The first is the root directory.
type trail []step

type step struct {
	dir  *os.File
	name string // in the one before
}

func (t trail) last() step { return t[len(t)-1] }

// parent is the directory that the last one is in.
func (t trail) parent() *os.File { return t[max(0, len(t)-2)].dir }

// path is the trail's own name, which has no link in it.
func (t trail) path() string {
	var names []string
	for _, s := range t[1:] {
		names = append(names, s.name)
	}
	return "/" + path.Join(names...)
}

func (t trail) close() {
	for _, s := range t {
		s.dir.Close()
	}
}

// A resolver walks to a target, and makes what is missing.
type resolver struct {
	trail
	root  int      // the session's number of root
	rest  []string // names still to go
	links int      // followed so far
	made  bool     // the last directory was missing
}

// resolve returns the trail to a target, and whether its last directory was
// made. The caller closes the trail.
func resolve(target string, root int) (_ trail, made bool, err error) {
	top, err := os.OpenFile("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false, err
	}
	r := &resolver{trail: trail{{dir: top}}, root: root, rest: strings.Split(path.Clean(target), "/")}
	for len(r.rest) > 0 {
		name := r.rest[0]
		r.rest = r.rest[1:]
		if err := r.step(name); err != nil {
			r.close()
			return nil, false, err
		}
	}
	return r.trail, r.made, nil
}

func (r *resolver) step(name string) error {
	switch name {
	case "", ".":
		return nil
	case "..":
		r.up()
		return nil
	}
	r.made = false
	err := r.down(name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return r.make(name)
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return r.follow(name, err)
	}
	return err
}

// up goes back to where the trail came from.
func (r *resolver) up() {
	if len(r.trail) > 1 {
		r.last().dir.Close()
		r.trail = r.trail[:len(r.trail)-1]
	}
}

// down goes on to a directory that is one, and no link to it.
func (r *resolver) down(name string) error {
	dir, err := openAt(r.last().dir, name)
	if err != nil {
		return err
	}
	st, err := statOf(dir)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err != nil {
		dir.Close()
		return err
	}
	r.trail = append(r.trail, step{dir, name})
	return nil
}

// make makes a directory that is missing. What somebody else has made there
// meanwhile, or put in its place, is taken for what it is.
func (r *resolver) make(name string) error {
	made := unix.Mkdirat(int(r.last().dir.Fd()), name, 0o755)
	if made != nil && made != unix.EEXIST {
		return made
	}
	if err := r.down(name); err != nil {
		return err
	}
	if made != nil {
		return nil
	}
	var err error
	r.made, err = r.pristine()
	return err
}

// pristine reports whether the last directory can be the one that was made just
// now: root's, and empty.
func (r *resolver) pristine() (bool, error) {
	dir := r.last().dir
	st, err := statOf(dir)
	if err != nil || int(st.Uid) != r.root {
		return false, err
	}
	if _, err := dir.Readdirnames(1); errors.Is(err, io.EOF) {
		return true, nil
	}
	_, err = dir.Seek(0, io.SeekStart)
	return false, err
}

// maxLinks is how many links may be on the way to a target.
const maxLinks = 40

// follow goes on where a link leads, if it is one of the system's. Nobody else
// can change that between the look at it and its reading.
func (r *resolver) follow(name string, notDir error) error {
	at := r.last().dir
	var link unix.Stat_t
	if err := unix.Fstatat(int(at.Fd()), name, &link, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if link.Mode&unix.S_IFMT != unix.S_IFLNK {
		return notDir
	}
	if !r.fromSystem(at, link) {
		return agentbay.Errorf(agentbay.Invalid,
			"%q is a symbolic link that the session's user can change; name the directory it leads to", path.Join(r.path(), name))
	}
	if r.links++; r.links > maxLinks {
		return unix.ELOOP
	}
	to, err := readlinkAt(at, name)
	if err != nil {
		return err
	}
	if path.IsAbs(to) {
		for len(r.trail) > 1 {
			r.up()
		}
	}
	r.rest = slices.Concat(strings.Split(to, "/"), r.rest)
	return nil
}

// fromSystem reports whether a link is root's, and in a directory in which
// nobody else can put anything in its place. A sticky directory is none: what
// is there today was anybody's to make.
func (r *resolver) fromSystem(dir *os.File, link unix.Stat_t) bool {
	const others = 0o022
	st, err := statOf(dir)
	return err == nil && int(st.Uid) == r.root && st.Mode&others == 0 && int(link.Uid) == r.root
}

// openAt opens what has a name in a directory. It follows no link, and so does
// not ask for a directory: with O_DIRECTORY, gVisor follows in spite of O_NOFOLLOW.
func openAt(dir *os.File, name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}

// readlinkAt reads a link in a directory.
func readlinkAt(dir *os.File, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func statOf(f *os.File) (st unix.Stat_t, err error) {
	err = unix.Fstat(int(f.Fd()), &st)
	return st, err
}
