package desktop

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// startWithin is how long a started application may take to show a window. One
// that has none by then is left to itself: not every program has windows.
const startWithin = 15 * time.Second

// lastWords is how long a program that has ended may be waited for by others:
// it may have handed its work to one that runs already.
const lastWords = 2 * time.Second

func (d *Desktop) startApp(ctx context.Context, in tool.StartAppIn) (guest.Answer, error) {
	s, err := d.Screen()
	if err != nil {
		return guest.Answer{}, err
	}
	command, dir := d.commandOf(strings.TrimSpace(in.StartCmd))
	if command == "" {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "start_cmd is empty; get_installed_apps lists what can be started")
	}
	a := &app{desktop: d, screen: s, command: command, before: d.windowIDs(ctx)}
	if err := a.start(cmp.Or(in.Dir, dir, d.Dir)); err != nil {
		return guest.Answer{}, err
	}
	if err := a.await(ctx); err != nil {
		return guest.Answer{}, err
	}
	list := a.processes()
	if len(list) == 0 {
		return guest.Answer{}, guest.Failf(guest.Unsuccessful, "%s ended without showing a window%s", clip(command), a.said())
	}
	return guest.JSON(list), nil
}

// windowIDs is the windows there are.
func (d *Desktop) windowIDs(ctx context.Context) map[int]bool {
	ids := map[int]bool{}
	list, err := d.listed(ctx)
	if err != nil {
		return ids
	}
	for _, w := range list {
		ids[w.ID] = true
	}
	return ids
}

// An app is an application that is being started.
type app struct {
	desktop *Desktop
	screen  Screen
	command string
	before  map[int]bool // windows that were there

	pid    int // leads a session of its own
	output *tail
	ended  chan struct{} // closed when the first process has ended
	status error         // how; set before ended is closed
	window tool.Window   // the first new one that is the application's
}

// start runs the command line, as a shell would.
func (a *app) start(dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return guest.Failf(guest.BadArgument, "work_directory %s is not a directory", clip(dir))
	}
	r, w, err := os.Pipe()
	if err != nil {
		return guest.Failf(guest.Unsuccessful, "%s", guest.Reason(err))
	}
	defer w.Close()
	cmd := exec.Command("/bin/bash", "-c", a.command)
	cmd.Dir, cmd.Env = dir, a.desktop.Env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := guest.Start(cmd); err != nil {
		r.Close()
		return guest.Failf(guest.Unsuccessful, "%s: %s", clip(a.command), guest.Reason(err))
	}
	a.pid, a.output, a.ended = cmd.Process.Pid, follow(r), make(chan struct{})
	go func() {
		a.status = guest.Wait(cmd)
		close(a.ended)
	}()
	return nil
}

// await waits until the application shows a window, or has failed.
func (a *app) await(ctx context.Context) error {
	limit := time.After(startWithin)
	var left <-chan time.Time // set once the first process has ended
	ended := a.ended
	for {
		happened := a.screen.Changed()
		if a.find(ctx) {
			return a.screen.Ready(ctx, a.window.ID)
		}
		select {
		case <-happened:
		case <-ended:
			if a.status != nil {
				return a.failed()
			}
			ended, left = nil, time.After(lastWords)
		case <-left:
			return nil
		case <-limit:
			return nil
		case <-ctx.Done():
			return guest.Failf(guest.Unsuccessful, "[timeout] %s shows no window yet", clip(a.command))
		}
	}
}

// find looks for a new window of the application. Once its first process has
// ended, any new window is taken for it.
func (a *app) find(ctx context.Context) bool {
	list, err := a.desktop.listed(ctx)
	if err != nil {
		return false
	}
	over := false
	select {
	case <-a.ended:
		over = true
	default:
	}
	for _, w := range list {
		if !a.before[w.ID] && (over || w.PID == 0 || sessionOf(w.PID) == a.pid) {
			a.window = w
			return true
		}
	}
	return false
}

func (a *app) failed() error {
	var exit *exec.ExitError
	if errors.As(a.status, &exit) && exit.ExitCode() == 127 {
		return guest.Failf(guest.BadArgument, "%s cannot be started%s; get_installed_apps lists what can be", clip(a.command), a.said())
	}
	return guest.Failf(guest.Unsuccessful, "%s ended at once (%v)%s", clip(a.command), a.status, a.said())
}

// said is the end of what the application printed, for an error.
func (a *app) said() string {
	text := strings.TrimSpace(strings.ToValidUTF8(a.output.text(), "�"))
	if text == "" {
		return ""
	}
	return ": " + text
}

// processes is the application's processes, that of its window first.
func (a *app) processes() (list []tool.Process) {
	if a.window.PID > 0 {
		list = append(list, processOf(a.window.PID))
	}
	for _, pid := range pids() {
		if pid != a.window.PID && sessionOf(pid) == a.pid {
			list = append(list, processOf(pid))
		}
	}
	return list
}

// A tail keeps the end of what is written to a pipe.
type tail struct {
	mu   sync.Mutex
	kept []byte // guarded by mu
}

// maxTail is how much is kept, in bytes.
const maxTail = 600

// follow reads a pipe to its end, which it then closes.
func follow(r *os.File) *tail {
	t := new(tail)
	go func() {
		defer r.Close()
		io.Copy(t, struct{ io.Reader }{r})
	}()
	return t
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxTail; over > 0 {
		t.kept = slices.Delete(t.kept, 0, over)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

func (d *Desktop) visibleApps(ctx context.Context, _ tool.None) (guest.Answer, error) {
	windows, err := d.listed(ctx)
	if err != nil {
		return guest.Answer{}, err
	}
	list := []tool.Process{}
	for _, w := range windows {
		known := slices.ContainsFunc(list, func(p tool.Process) bool { return p.PID == w.PID })
		if w.PID > 0 && !known {
			list = append(list, processOf(w.PID))
		}
	}
	return guest.JSON(list), nil
}

func (d *Desktop) stopByName(ctx context.Context, in tool.StopByNameIn) (guest.Answer, error) {
	if in.Name == "" {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "pname is empty; list_visible_apps lists the names of what runs")
	}
	var found []int
	for _, pid := range pids() {
		if pid != os.Getpid() && slices.Contains(namesOf(pid), in.Name) {
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "no process is named %s; list_visible_apps lists the names of what runs", clip(in.Name))
	}
	return done("Stopped "+in.Name, stop(ctx, found))
}

func (d *Desktop) stopByPID(ctx context.Context, in tool.StopByPIDIn) (guest.Answer, error) {
	if in.PID == os.Getpid() {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "process %d is the session itself; delete the session to end it", in.PID)
	}
	if in.PID <= 0 || nameOf(in.PID) == "" {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "there is no process %d; list_visible_apps lists what runs", in.PID)
	}
	return done("Stopped process "+itoa(in.PID), stop(ctx, []int{in.PID}))
}

// stopWithin is how long a command that stops something may take.
const stopWithin = 30 * time.Second

func (d *Desktop) stopByCmd(ctx context.Context, in tool.StopByCmdIn) (guest.Answer, error) {
	if strings.TrimSpace(in.Cmd) == "" {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "stop_cmd is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.Command("/bin/bash", "-c", in.Cmd)
	cmd.Dir, cmd.Env = d.Dir, d.Env
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := guest.Start(cmd); err != nil {
		return guest.Answer{}, guest.Failf(guest.Unsuccessful, "%s: %s", clip(in.Cmd), guest.Reason(err))
	}
	defer context.AfterFunc(ctx, func() { unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })()
	if err := guest.Wait(cmd); err != nil {
		return guest.Answer{}, guest.Failf(guest.Unsuccessful, "%s failed (%v): %s", clip(in.Cmd), err, clip(strings.TrimSpace(out.String())))
	}
	return guest.Text("Stopped by " + in.Cmd), nil
}

// politely is how long a process may take to end when it is asked to.
const politely = 2 * time.Second

// stop ends processes: it asks them to, and then makes them.
func stop(ctx context.Context, pids []int) error {
	ctx, cancel := context.WithTimeout(ctx, politely)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(pids))
	for i, pid := range pids {
		all.Go(func() { errs[i] = stopOne(ctx, pid) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func stopOne(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return guest.Failf(guest.Unsuccessful, "process %d: %s", pid, guest.Reason(err))
	}
	defer unix.Close(fd)
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := unix.PidfdSendSignal(fd, signal, nil, 0); err == unix.ESRCH {
			return nil
		} else if err != nil {
			return guest.Failf(guest.Unsuccessful, "process %d cannot be stopped: %s", pid, guest.Reason(err))
		}
		if gone(ctx, fd) {
			return nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), politely)
		defer cancel()
	}
	return guest.Failf(guest.Unsuccessful, "process %d does not end", pid)
}

// gone waits for the end of a process. One that nobody takes the status of has
// ended as well.
func gone(ctx context.Context, pidfd int) bool {
	for {
		left := politely
		if at, ok := ctx.Deadline(); ok {
			left = time.Until(at)
		}
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(int(left.Milliseconds()), 0))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// pids is every process there is.
func pids() (all []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, n := range names {
		if pid := number(n); pid > 0 {
			all = append(all, pid)
		}
	}
	slices.Sort(all)
	return all
}

func number(s string) (n int) {
	for _, c := range s {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

func proc(pid int, file string) string {
	b, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), file))
	return string(b)
}

// nameOf is the name of a process's program, empty if there is no such process.
func nameOf(pid int) string {
	if pid <= 0 {
		return ""
	}
	name := strings.TrimSuffix(proc(pid, "comm"), "\n")
	if len(name) < 15 { // the kernel keeps no more
		return name
	}
	for _, n := range namesOf(pid) {
		if strings.HasPrefix(n, name) {
			return n
		}
	}
	return name
}

// namesOf is the names a process goes by.
func namesOf(pid int) []string {
	first, _, _ := strings.Cut(proc(pid, "cmdline"), "\x00")
	names := []string{strings.TrimSuffix(proc(pid, "comm"), "\n")}
	if first != "" {
		names = append(names, filepath.Base(first))
	}
	if exe, err := os.Readlink(filepath.Join("/proc", itoa(pid), "exe")); err == nil {
		names = append(names, filepath.Base(exe))
	}
	return names
}

func processOf(pid int) tool.Process {
	line := strings.TrimRight(strings.ReplaceAll(proc(pid, "cmdline"), "\x00", " "), " ")
	return tool.Process{Name: nameOf(pid), PID: pid, CmdLine: strings.ToValidUTF8(line, "�")}
}

// sessionOf is the number of a process's session, as of setsid(2); 0 if there
// is no such process.
func sessionOf(pid int) int {
	stat := proc(pid, "stat")
	rest := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(rest) < 4 {
		return 0
	}
	return number(rest[3])
}
