package shell

import (
	"context"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
)

// bash is where it is in every image.
const bash = "/bin/bash"

// maxArg is the longest command the kernel takes as an argument.
const maxArg = 128<<10 - 1

// fromFile makes bash wait until its descriptor 3 ends, and then run the command
// in the file that is its descriptor 4 as if that had been its argument: it uses
// no variable but the one in which bash itself puts the command.
const fromFile = `read -ru 3 BASH_EXECUTION_STRING; IFS= read -rd '' -u 4 BASH_EXECUTION_STRING; SECONDS=0; exec 3<&- 4<&-; eval "$BASH_EXECUTION_STRING"`

// A process is bash running one command, in a session and process group of its own.
type process struct {
	pid            int
	fd             *os.File // pidfd: readable when the process has ended
	waited         func()
	stdout, stderr *capture

	// of a prepared process only
	place  fs.FileInfo // where it runs
	script *os.File    // where it looks for the command
	hold   *os.File    // what it waits for the end of

	mu     sync.Mutex
	ended  bool // guarded by mu; the process group may be somebody else's
	killed bool // guarded by mu until wait returns
}

// start runs a command.
func (s *Shell) start(command, dir string, env []string) (*process, error) {
	if len(command) < maxArg {
		return s.launch([]string{"bash", "-c", command}, dir, env)
	}
	p, err := s.prepare(dir, env)
	if err != nil {
		return nil, err
	}
	if err := p.begin(command); err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// prepare starts a bash that waits for begin.
func (s *Shell) prepare(dir string, env []string) (p *process, err error) {
	place, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	memory, err := unix.MemfdCreate("command", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	script := os.NewFile(uintptr(memory), "command")
	wait, hold, err := os.Pipe()
	if err != nil {
		script.Close()
		return nil, err
	}
	defer wait.Close()
	if p, err = s.launch([]string{"bash", "-c", fromFile}, dir, env, wait, script); err != nil {
		script.Close()
		hold.Close()
		return nil, err
	}
	p.place, p.script, p.hold = place, script, hold
	return p, nil
}

// begin gives a prepared process its command.
func (p *process) begin(command string) error {
	defer p.hold.Close()
	defer p.script.Close()
	_, err := p.script.WriteAt([]byte(command+"\x00"), 0) // leaves its offset, which bash shares
	return err
}

// discard ends a process that is not needed.
func (p *process) discard() {
	p.hold.Close()
	p.script.Close()
	p.kill()
	p.wait(context.Background())
	p.stdout.end()
	p.stderr.end()
	p.stdout.release()
	p.stderr.release()
}

// launch starts bash. Waiting for it holds no thread, so that a session with a
// thousand commands has not a thousand threads more.
func (s *Shell) launch(argv []string, dir string, env []string, more ...*os.File) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p := new(process)
	if p.stdout, p.stderr, err = s.captures(); err != nil {
		return nil, err
	}
	defer p.stdout.begin()
	defer p.stderr.begin()
	files := []uintptr{null.Fd(), p.stdout.write.Fd(), p.stderr.write.Fd()}
	for _, f := range more {
		files = append(files, f.Fd())
	}
	return p, p.launch(argv, &syscall.ProcAttr{Dir: dir, Env: env, Files: files})
}

func (p *process) launch(argv []string, attr *syscall.ProcAttr) (err error) {
	pidfd := -1
	attr.Sys = &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	p.waited, err = guest.Launch(func() (int, error) {
		p.pid, _, err = syscall.StartProcess(bash, argv, attr)
		return p.pid, err
	})
	if err != nil {
		return err
	}
	unix.SetNonblock(pidfd, true)
	p.fd = os.NewFile(uintptr(pidfd), "pidfd")
	return nil
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

// alive reports whether the process has not ended yet.
func (p *process) alive() (alive bool) {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return false
	}
	conn.Control(func(fd uintptr) {
		_, ended := peek(int(fd), unix.WEXITED|unix.WNOWAIT)
		alive = !ended
	})
	return alive
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
