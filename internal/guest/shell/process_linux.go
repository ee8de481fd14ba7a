package shell

import (
	"context"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
)

// maxArg is the longest command the kernel takes as an argument. A longer one
// is read by bash from a pipe, of which nothing is left when it runs.
const maxArg = 128<<10 - 1

// fromPipe runs the command in descriptor 3.
const fromPipe = `eval "exec 3<&-;$(</dev/fd/3)"`

// A process is bash running one command, in a session and process group of its own.
type process struct {
	pid    int
	fd     *os.File // pidfd: readable when the process has ended
	waited func()

	mu     sync.Mutex
	ended  bool // guarded by mu; the process group may be somebody else's
	killed bool // guarded by mu until wait returns
}

// start starts bash. Waiting for it holds no thread, so that a session with a
// thousand commands has not a thousand threads more.
func start(command, dir string, env []string, stdout, stderr *os.File) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	argv, files := []string{"bash", "-c", command}, []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()}
	if len(command) > maxArg {
		script, err := feed(command)
		if err != nil {
			return nil, err
		}
		defer script.Close()
		argv[2], files = fromPipe, append(files, script.Fd())
	}
	return launch(argv, &syscall.ProcAttr{Dir: dir, Env: env, Files: files})
}

func launch(argv []string, attr *syscall.ProcAttr) (p *process, err error) {
	p, pidfd := new(process), -1
	attr.Sys = &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	p.waited, err = guest.Launch(func() (int, error) {
		p.pid, _, err = syscall.StartProcess(bash, argv, attr)
		return p.pid, err
	})
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(pidfd, true)
	p.fd = os.NewFile(uintptr(pidfd), "pidfd")
	return p, nil
}

// bash is where it is in every image of ours.
const bash = "/bin/bash"

// feed is a pipe from which the command can be read.
func feed(command string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer w.Close()
		io.WriteString(w, command) // fails when bash has ended
	}()
	return r, nil
}

// wait returns the exit status, 128 + n after signal n. The end of ctx kills
// the whole process group.
func (p *process) wait(ctx context.Context) int {
	defer p.fd.Close()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	p.await(unix.WEXITED | unix.WNOWAIT)
	p.mu.Lock() // from here on nobody kills by a number that may be used again
	p.ended = true
	p.mu.Unlock()
	defer p.waited()
	return p.await(unix.WEXITED)
}

// await waits for the end of the process.
func (p *process) await(options int) (status int) {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return -1
	}
	conn.Read(func(fd uintptr) (done bool) {
		status, done = peek(int(fd), options)
		return done
	})
	return status
}

// A childInfo is the siginfo_t that waitid fills in, on 64-bit Linux.
type childInfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
}

// peek asks once whether a process has ended.
func peek(pidfd, options int) (status int, ended bool) {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PIDFD, pidfd, &info, options|unix.WNOHANG, nil)
	if err == unix.EINTR || err == unix.EAGAIN {
		return 0, false
	}
	child := (*childInfo)(unsafe.Pointer(&info))
	switch {
	case err != nil:
		return -1, true
	case child.pid == 0:
		return 0, false
	case child.code == exited:
		return int(child.status), true
	}
	return 128 + int(child.status), true
}

// exited is the code of a process that ended by itself, not by a signal.
const exited = 1

// kill kills the command and all it started.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.killed = true
	unix.Kill(-p.pid, unix.SIGKILL)
}

// waiting is how many bytes can be read from a pipe at once.
func waiting(pipe *os.File) (n int64) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Control(func(fd uintptr) {
		got, _ := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		n = int64(got)
	})
	return n
}
