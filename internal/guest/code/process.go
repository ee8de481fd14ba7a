package code

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
)

// readSize is how much of an output stream is read, and passed on, at once. In
// JSON it stays well below a mebibyte, whatever is in it.
const readSize = 64 << 10

// lastWords is how long what a dead process started, and could not be ended with
// it, may keep its message pipe open.
const lastWords = time.Second

// A process is a runner from its start to its death.
type process struct {
	cmd      *exec.Cmd
	place    fs.FileInfo // of its working directory, when it started; nil if that is not known
	requests *os.File
	messages *os.File
	stdout   *stream
	stderr   *stream
	ready    chan struct{} // closed when it takes requests
	dead     chan struct{} // closed when it has ended and all it said was passed on
	status   string        // how it ended; set before dead is closed

	signals sync.Mutex // guards reaped; taken last
	reaped  bool       // its number may mean another process now

	fault error // why it had to be ended; guarded by mu
	// mu is held while something is passed on, so that output and messages keep
	// their order, and blocks with a consumer that is slow.
	mu  sync.Mutex
	run *run // who is passed what comes; nil means nobody; guarded by mu
}

// A stream is the near end of one of a process's output pipes.
type stream struct {
	kind string // "stdout" or "stderr"
	file *os.File
	conn syscall.RawConn
	buf  []byte // guarded by the process's mu
}

// start starts a runner. Its environment is that of the session; its standard
// input is empty; it leads a process group of its own.
func start(l language, c Config) (*process, error) {
	argv := l.argv(c.Runners)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.Dir, l.environ(c.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	place, _ := os.Stat(c.Dir) // without, the start fails, or its directory is this program's
	p := &process{cmd: cmd, place: place, ready: make(chan struct{}), dead: make(chan struct{})}
	theirs, err := p.open()
	defer closeAll(theirs)
	if err == nil {
		err = guest.Start(cmd)
	}
	if err != nil {
		p.closeOurs()
		return nil, err
	}
	p.follow()
	return p, nil
}

// open makes the four pipes and gives the command its ends, which it returns.
func (p *process) open() (theirs []*os.File, err error) {
	pipe := func(ours **os.File, writing bool) {
		if err != nil {
			return
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return
		}
		if writing {
			r, w = w, r
		}
		*ours, theirs = r, append(theirs, w)
	}
	p.stdout, p.stderr = &stream{kind: "stdout"}, &stream{kind: "stderr"}
	pipe(&p.stdout.file, false)
	pipe(&p.stderr.file, false)
	pipe(&p.requests, true)
	pipe(&p.messages, false)
	if err != nil {
		return theirs, err
	}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = theirs[0], theirs[1], theirs[2:]
	for _, s := range []*stream{p.stdout, p.stderr} {
		s.buf = make([]byte, readSize)
		if s.conn, err = s.file.SyscallConn(); err != nil {
			return theirs, err
		}
	}
	return theirs, nil
}

func (p *process) closeOurs() {
	closeAll([]*os.File{p.stdout.file, p.stderr.file, p.requests, p.messages})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// follow passes on what the process says until it is dead.
func (p *process) follow() {
	go p.pump(p.stdout)
	go p.pump(p.stderr)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		p.listen()
	}()
	go func() {
		err := p.reap()
		p.messages.SetReadDeadline(time.Now().Add(lastWords))
		<-heard
		p.mu.Lock()
		p.drain()
		p.status = statusOf(err, p.fault)
		p.mu.Unlock()
		p.closeOurs()
		close(p.dead)
	}()
}

// reap waits for the process to end, and ends all it started.
func (p *process) reap() error {
	for unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.kill()
	p.signals.Lock()
	defer p.signals.Unlock()
	err := guest.Wait(p.cmd)
	p.reaped = true
	return err
}

func statusOf(err, fault error) string {
	var exit *exec.ExitError
	switch {
	case fault != nil:
		return fault.Error()
	case err == nil:
		return "exit status 0"
	case errors.As(err, &exit):
		return exit.String()
	}
	return "status unknown"
}

// pump passes on a stream's bytes as they come, until it ends or is closed.
func (p *process) pump(s *stream) {
	s.conn.Read(func(fd uintptr) bool {
		for {
			p.mu.Lock()
			n, end := s.read(int(fd))
			p.pass(s, n)
			p.mu.Unlock()
			if end || n == 0 {
				return end
			}
		}
	})
}

// read reads once without waiting. Nothing read and no end means that there is
// nothing to read now.
func (s *stream) read(fd int) (n int, end bool) {
	for {
		n, err := unix.Read(fd, s.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, false
		case err != nil || n == 0:
			return 0, true
		}
		return n, false
	}
}

func (p *process) pass(s *stream, n int) {
	if n > 0 && p.run != nil {
		p.run.output(s.kind, s.buf[:n])
	}
}

// drain passes on what is in the output pipes at this moment, and no more than
// they can hold: something may be writing without end. It is called with mu held.
func (p *process) drain() {
	for _, s := range []*stream{p.stdout, p.stderr} {
		s.conn.Control(func(fd uintptr) {
			size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0)
			if err != nil {
				size = 1 << 20 // the most a pipe can hold by default
			}
			for size > 0 {
				n, end := s.read(int(fd))
				if end || n == 0 {
					return
				}
				p.pass(s, n)
				size -= n
			}
		})
	}
}

// listen passes on messages until there are no more. Whatever is no message
// ends the process.
func (p *process) listen() {
	lines := bufio.NewReaderSize(p.messages, 64<<10)
	for {
		line, err := readLine(lines, maxLine)
		if err != nil && !errors.Is(err, errTooLong) {
			return
		}
		var m message
		if err == nil {
			m, err = parseMessage(line)
		}
		if err != nil {
			p.end(fmt.Errorf("the code disturbed the interpreter's messages: %w", err))
			return
		}
		p.hear(m)
	}
}

// hear passes on a message, after the output that came before it.
func (p *process) hear(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Ready {
		p.becomeReady()
		return
	}
	if p.run == nil {
		return // of what a run left behind
	}
	p.drain()
	p.run.hear(m)
	if m.End {
		p.run = nil
	}
}

func (p *process) becomeReady() {
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
}

// begin has the process run code, and r hear of it.
func (p *process) begin(r *run, code string) {
	p.mu.Lock()
	p.drain() // what came since the last run belongs to nobody
	p.run = r
	p.mu.Unlock()
	if _, err := p.requests.Write(request(code)); err != nil {
		p.kill() // it has half a request
	}
}

// stopWriting ends writes that the process does not read. Until resumeWriting,
// there are no others.
func (p *process) stopWriting() { p.requests.SetWriteDeadline(time.Now()) }

func (p *process) resumeWriting() { p.requests.SetWriteDeadline(time.Time{}) }

// forget has nobody hear what the process still says.
func (p *process) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run = nil
}

// isCovered reports whether something was mounted on the directory it works in
// since, so that it works where nobody else can look.
func (p *process) isCovered(dir string) bool {
	now, err := os.Stat(dir)
	if p.place == nil || err != nil || os.SameFile(now, p.place) {
		return false
	}
	at, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", p.cmd.Process.Pid))
	return err == nil && os.SameFile(at, p.place) // else its code has gone elsewhere
}

// waitReady returns when the process takes requests.
func (p *process) waitReady(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.dead:
		return fmt.Errorf("ended at once (%s)", p.status)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// interrupt asks the process to end its run. It returns within the time given,
// also if the process reads nothing.
func (p *process) interrupt(bySignal bool, within time.Duration) {
	if bySignal {
		p.signal(p.cmd.Process.Pid, unix.SIGINT)
		return
	}
	p.requests.SetWriteDeadline(time.Now().Add(within))
	p.requests.Write(interruptRequest) // if it fails, the run has ended
}

// interruptGroup also interrupts what the process started and waits for.
func (p *process) interruptGroup() { p.signal(-p.cmd.Process.Pid, unix.SIGINT) }

// kill ends the process and all of its group.
func (p *process) kill() { p.signal(-p.cmd.Process.Pid, unix.SIGKILL) }

func (p *process) signal(pid int, sig unix.Signal) {
	p.signals.Lock()
	defer p.signals.Unlock()
	if !p.reaped {
		unix.Kill(pid, sig)
	}
}

func (p *process) isDead() bool { return isClosed(p.dead) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// end kills the process for a reason that its status will give.
func (p *process) end(fault error) {
	p.mu.Lock()
	p.fault = fault
	p.mu.Unlock()
	p.kill()
}

var errTooLong = errors.New("a message is too long")

// readLine reads a line of at most max bytes, without its end.
func readLine(r *bufio.Reader, max int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > max {
			return nil, errTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return nil, unexpected(err, len(line))
		}
	}
}

// unexpected is the error of a last line that has no end.
func unexpected(err error, n int) error {
	if errors.Is(err, io.EOF) && n > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
