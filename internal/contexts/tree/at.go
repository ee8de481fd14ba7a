package tree

import (
	"errors"
	"io/fs"
	"slices"
	"time"
	"unsafe"

	"github.com/agentbay/agentbay"
	"golang.org/x/sys/unix"
)

// Everything below works on one name in one open directory, so that no link,
// and nobody who moves directories about meanwhile, leads it elsewhere.

// maxEntries bounds the names in one directory, which are sorted in memory, and
// those of all directories that a walk is in; a variable so that tests can have
// small ones.
var maxEntries = 1 << 20

// openTop opens a directory that we were given.
func openTop(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// openDir opens a directory in another.
func openDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// openBelow opens the directory at rel below dir.
func openBelow(dir int, rel string) (int, error) {
	if rel == "" {
		rel = "."
	}
	return unix.Openat2(dir, rel, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// statAt describes a name, without following it.
func statAt(dir int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// names lists a directory in the order of bytes.
func names(dir int) ([]string, error) {
	if _, err := unix.Seek(dir, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	var all []string
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(dir, buf)
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
		if len(all) > maxEntries {
			return nil, agentbay.Errorf(agentbay.Exhausted, "a directory has more than %d entries; use several", maxEntries)
		}
	}
	slices.Sort(all)
	return all, nil
}

// readLink reads a symbolic link.
func readLink(dir int, name string) (string, error) {
	buf := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// setTimes sets when an open file was modified.
func setTimes(fd int, at time.Time) error {
	ts := timesOf(at)
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setLinkTimes sets when a name, which may be a link, was modified.
func setLinkTimes(dir int, name string, at time.Time) error {
	ts := timesOf(at)
	return unix.UtimesNanoAt(dir, name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

func timesOf(at time.Time) [2]unix.Timespec {
	if at.IsZero() {
		return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_NOW}}
	}
	ts := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	return [2]unix.Timespec{ts, ts}
}

// maxDeep bounds how deep removeAt goes, with one directory open for each step:
// no path of a context is deeper, but what a session makes can be.
const maxDeep = maxPath / 2

// removeAt removes a name and, if it is a directory, all that is in it.
//
// Conflict: something in it is deeper than any path; some of it may be gone.
func removeAt(dir int, name string) error { return removeDeep(dir, name, maxDeep) }

func removeDeep(dir int, name string, deep int) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	if deep == 0 {
		return agentbay.Errorf(agentbay.Conflict, "a directory that is in the way has more than %d others within one another; remove it first", maxDeep)
	}
	if err := emptyAt(dir, name, deep-1); err != nil {
		return err
	}
	err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// emptyAt removes all that is in a directory, some names at a time.
func emptyAt(dir int, name string, deep int) error {
	fd, err := openDir(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for buf := make([]byte, 8<<10); ; {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return err
		}
		_, _, some := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range some {
			if err := removeDeep(fd, name, deep); err != nil {
				return err
			}
		}
	}
}

// unixMode returns the bits of a mode that are kept.
func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: unix.S_ISUID, fs.ModeSetgid: unix.S_ISGID, fs.ModeSticky: unix.S_ISVTX} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// fileMode is the other way round.
func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	if bits&unix.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if bits&unix.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if bits&unix.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// failed makes an error of the host's file system one for the caller.
func failed(err error, what, path string) error {
	var e *agentbay.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return err
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		return agentbay.Wrap(err, agentbay.Exhausted, "%s: no room for %.300q; free some, or raise the limit", what, path)
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		return agentbay.Wrap(err, agentbay.Unavailable, "%s: too many open files on the host; try again", what)
	}
	return agentbay.Wrap(err, agentbay.Internal, "%s: %.300q failed", what, path)
}
