package files

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
)

// nonblock makes opening a named pipe not wait for its other side.
const nonblock = unix.O_NONBLOCK

// fold leaves names as they are: case matters here.
func fold(name string) string { return name }

// detailsOf asks for what the standard library does not tell.
func detailsOf(path string, info fs.FileInfo) details {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return details{created: info.ModTime(), accessed: info.ModTime()}
	}
	created := st.Btime
	if st.Mask&unix.STATX_BTIME == 0 || created.Sec == 0 { // not every file system keeps it
		created = st.Ctime
	}
	return details{
		created:  time.Unix(created.Sec, int64(created.Nsec)),
		accessed: time.Unix(st.Atime.Sec, int64(st.Atime.Nsec)),
		owner:    userName(st.Uid),
		group:    groupName(st.Gid),
	}
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// moveAcross moves to another file system, with all that mv keeps.
func moveAcross(ctx context.Context, from, to string) error {
	var said strings.Builder
	cmd := exec.CommandContext(ctx, "mv", "-T", "--", from, to)
	cmd.Stderr = &said
	if err := guest.Start(cmd); err != nil {
		return err
	}
	if err := guest.Wait(cmd); err != nil {
		return errors.New(strings.TrimSpace(said.String()))
	}
	return nil
}

// fileID tells a file from one that took its place.
func fileID(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
