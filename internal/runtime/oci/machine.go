package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A machine is one entry of the ledger, and what runs of it.
type machine struct {
	rt     *Runtime
	id     agentbay.SessionID
	dir    string
	cancel context.CancelFunc // ends the boot
	booted chan struct{}      // closed when the boot is over, one way or the other

	stopMu  sync.Mutex // held during Stop and Halt
	mountMu sync.Mutex // held while the machine's mounts change

	// Written before booted is closed.
	rec     record
	console *console // nil for an adopted machine
	process *os.File // pidfd; nil if there is none to watch

	connMu sync.Mutex
	conns  map[*conn]struct{} // guarded by connMu; nil once the machine has ended

	endOnce sync.Once
	done    chan struct{} // closed when the machine has ended
	exit    runtime.Exit  // set before done is closed
}

func newMachine(r *Runtime, id agentbay.SessionID) *machine {
	return &machine{
		rt: r, id: id, dir: filepath.Join(r.opt.StateDir, machinesDir, string(id)),
		cancel: func() {}, booted: make(chan struct{}), done: make(chan struct{}), conns: map[*conn]struct{}{},
	}
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// alive reports whether the machine has booted and not ended.
func (m *machine) alive() bool {
	select {
	case <-m.done:
		return false
	default:
	}
	select {
	case <-m.booted:
		return true
	default:
		return false
	}
}

// end marks the machine as ended. Only the first reason counts.
func (m *machine) end(reason string) {
	m.endOnce.Do(func() {
		m.exit = runtime.Exit{Reason: reason}
		close(m.done)
		m.hangUp()
	})
}

// A conn is a connection to a machine's guest. It is closed when the machine
// ends: a dead sandbox sends no farewell.
type conn struct {
	*net.TCPConn
	m *machine
}

// keep takes charge of a connection, unless the machine has ended meanwhile.
func (m *machine) keep(c net.Conn) (net.Conn, bool) {
	kept := &conn{c.(*net.TCPConn), m}
	m.connMu.Lock()
	defer m.connMu.Unlock()
	if m.conns == nil {
		c.Close()
		return nil, false
	}
	m.conns[kept] = struct{}{}
	return kept, true
}

// Close closes the connection.
func (c *conn) Close() error {
	c.m.connMu.Lock()
	delete(c.m.conns, c)
	c.m.connMu.Unlock()
	return c.TCPConn.Close()
}

// hangUp closes every connection there is, and with them all there will be.
func (m *machine) hangUp() {
	m.connMu.Lock()
	conns := m.conns
	m.conns = nil
	m.connMu.Unlock()
	for c := range conns {
		c.TCPConn.Close()
	}
}

// watch opens the machine's process and calls end when it ends. It fails if the
// process is not there, or not the one that started at since.
func (m *machine) watch(pid int, since uint64) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return err
	}
	m.process = os.NewFile(uintptr(fd), "pidfd")
	now, err := startTime(pid)
	if err == nil && since != 0 && now != since {
		err = unix.ESRCH
	}
	if err != nil {
		return errors.Join(err, m.process.Close())
	}
	m.rec.Pid, m.rec.Since = pid, now
	raw, err := m.process.SyscallConn()
	if err != nil {
		return errors.Join(err, m.process.Close())
	}
	go func() {
		// An error means that the file was closed: nobody watches any more.
		if raw.Read(func(fd uintptr) bool { return hasEnded(int(fd)) }) == nil {
			m.end(m.reason())
		}
	}()
	return nil
}

// rewatch is watch for a machine on the ledger.
func (m *machine) rewatch() error {
	if m.rec.Pid == 0 {
		return errors.New("it never booted")
	}
	if err := m.watch(m.rec.Pid, m.rec.Since); err != nil {
		return err
	}
	if raw, err := m.process.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			if hasEnded(int(fd)) {
				m.end(m.reason()) // now, so that List says so from the start
			}
		})
	}
	return nil
}

// unwatch stops watching.
func (m *machine) unwatch() {
	if m.process != nil {
		m.process.Close()
	}
}

// hasEnded reports whether the process of a pidfd has ended.
func hasEnded(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// reason says for the user why the machine ended by itself.
func (m *machine) reason() string {
	status, known := m.exitStatus()
	if m.oomKills() > 0 && (!known || status.Signal() == unix.SIGKILL) {
		return fmt.Sprintf("out of memory (limit %.1f GiB)", float64(m.rec.Limits.Memory)/(1<<30))
	}
	why := "the guest or its sandbox ended"
	if known {
		why = describe(status)
	}
	if m.console != nil {
		if tail := lastLine(m.console.String()); tail != "" && tail != "ready" {
			why += "; it last said: " + tail
		}
	}
	return why + m.limitsMet()
}

// limitsMet names limits that the machine ran into while it lived, which may
// explain its end.
func (m *machine) limitsMet() (met string) {
	if m.oomKills() > 0 {
		met += fmt.Sprintf("; it had run out of memory (limit %.1f GiB)", float64(m.rec.Limits.Memory)/(1<<30))
	}
	if m.rt.cgroups.counter(m.id, tracking, "pids.events", "pids.events", "max") > 0 {
		met += fmt.Sprintf("; it had run out of processes (limit %d)", m.rec.Limits.Pids)
	}
	return met
}

// oomKills is how many of its processes were killed for want of memory.
func (m *machine) oomKills() int64 {
	return m.rt.cgroups.counter(m.id, "memory", "memory.oom_control", "memory.events", "oom_kill")
}

// exitStatus asks the kernel how the process ended. Until its parent has reaped
// it /proc tells, from then on the pidfd, but not on older kernels.
func (m *machine) exitStatus() (unix.WaitStatus, bool) {
	if fields, err := statFields(m.rec.Pid); err == nil && string(fields[0]) == "Z" {
		n, err := strconv.Atoi(string(fields[len(fields)-1]))
		return unix.WaitStatus(n), err == nil
	}
	raw, err := m.process.SyscallConn()
	if err != nil {
		return 0, false
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
	})
	return unix.WaitStatus(info.Exit_code), err == nil && errno == 0 && info.Mask&unix.PIDFD_INFO_EXIT != 0
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("the guest or its sandbox was killed (%s)", status.Signal())
	}
	return fmt.Sprintf("the guest or its sandbox ended with status %d", status.ExitStatus())
}

func lastLine(s string) string {
	line := s
	for l := range strings.Lines(s) {
		line = strings.TrimSpace(l)
	}
	const most = 200
	return line[max(0, len(line)-most):]
}

// halt ends every process of the machine. A Mount under way gives up first.
func (m *machine) halt(ctx context.Context) error {
	m.end("stopped")
	m.unwatch()
	m.mountMu.Lock()
	defer m.mountMu.Unlock()
	// A machine half stopped must not be adopted after a crash.
	rec := m.rec
	rec.Pid = 0
	if err := rec.write(m.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.rt.cgroups.kill(ctx, m.id)
}

// undo frees all the machine has on the host. It may be done again after it
// failed or was cut short: every step takes it that others may have been done.
func (m *machine) undo(ctx context.Context) error {
	if err := m.halt(ctx); err != nil {
		return err
	}
	if err := detach(m.contexts()); err != nil {
		return err
	}
	if err := m.rt.cgroups.remove(ctx, m.id); err != nil {
		return err
	}
	if err := m.rec.Place.remove(); err != nil {
		return err
	}
	return os.RemoveAll(m.dir)
}
