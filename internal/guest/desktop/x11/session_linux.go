package x11

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/desktop"
)

// A Config says what session to start.
type Config struct {
	Display       string   // such as ":0"; empty means one that is free
	Width, Height int      // of the screen, in pixels
	Port          int      // TCP port of the loopback where the screen is shown by RFB
	Manager       []string // the window manager
	Panel         []string // a panel that is waited for; empty for none
	Env           []string
}

// A Session is a desktop: an X server, and the programs that make a desktop of
// it. What ends is started again.
type Session struct {
	config Config
	ctx    context.Context
	end    context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	screen  *Screen // nil while there is none; guarded by mu
	display string  // of the screen; guarded by mu
	why     error   // there is none; guarded by mu
}

// Start starts a session, which goes on until ctx is done. It returns when the
// desktop is painted and takes input.
func Start(ctx context.Context, c Config) (*Session, error) {
	s := &Session{config: c, why: errGone, ended: make(chan struct{})}
	s.ctx, s.end = context.WithCancel(ctx)
	ready := make(chan error, 1)
	go s.run(ready)
	if err := <-ready; err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session and all its programs.
func (s *Session) Close() {
	s.end()
	<-s.ended
}

// Screen is the session's screen, or why there is none at the moment.
func (s *Session) Screen() (desktop.Screen, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.screen == nil {
		return nil, s.why
	}
	return s.screen, nil
}

func (s *Session) set(screen *Screen, display string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.screen, s.display, s.why = screen, display, why
}

// What ends soon after its start is not started again at once.
const (
	tooSoon = 5 * time.Second
	pause   = time.Second
)

// run has a desktop as long as the session goes on. The first result is told to
// ready.
func (s *Session) run(ready chan<- error) {
	defer close(s.ended)
	for {
		began := time.Now()
		err := s.once(func() {
			select {
			case ready <- nil:
			default:
			}
		})
		select {
		case ready <- err: // it never came up: who started it is told
		default:
		}
		s.set(nil, "", guest.Failf(guest.Unsuccessful, "the desktop has ended (%v) and is being started again; try again in a moment", err))
		wait := time.Duration(0)
		if time.Since(began) < tooSoon {
			wait = pause
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// once has a desktop until its X server ends.
func (s *Session) once(up func()) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	drawn := make(chan []byte, 1)
	go func() { drawn <- wallpaper(s.config.Width, s.config.Height) }() // while the X server starts
	server, display, err := s.serve(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	screen, err := Open(display)
	if err != nil {
		return fmt.Errorf("the X server does not answer: %w%s", err, server.said())
	}
	defer screen.Close()
	screen.oneDesktop()
	var programs sync.WaitGroup
	defer programs.Wait()
	defer cancel()
	env := append(slices.Clone(s.config.Env), "DISPLAY="+display)
	for _, argv := range [][]string{s.config.Manager, s.config.Panel} {
		if len(argv) > 0 {
			programs.Go(func() { keep(ctx, argv, env) })
		}
	}
	if err := screen.paint(<-drawn); err != nil {
		return fmt.Errorf("the wallpaper cannot be painted: %w", err)
	}
	if err := screen.managedWithin(ctx, programStart); err != nil {
		return err
	}
	if len(s.config.Panel) > 0 {
		if err := screen.panelWithin(ctx, programStart); err != nil {
			return err
		}
	}
	s.set(screen, display, nil)
	up()
	select {
	case <-server.ended:
		return fmt.Errorf("the X server ended: %v%s", server.status, server.said())
	case <-screen.gone:
		return errors.New("the X server closed the connection" + server.said())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// programStart is how long the window manager, and then the panel, may take to
// start.
const programStart = 30 * time.Second

// askAgain is when a window manager that is starting is asked again: what comes too
// early it may leave until something else comes.
const askAgain = 20 * time.Millisecond

// managedWithin waits until a window manager runs and answers.
func (s *Screen) managedWithin(ctx context.Context, limit time.Duration) error {
	ok, err := s.await(ctx, limit, func() (bool, error) {
		r, err := s.property(s.root, "_NET_SUPPORTING_WM_CHECK", 1).Reply()
		return len(words(r)) > 0, err
	})
	if err == nil && !ok {
		err = errors.New("the window manager does not start")
	}
	for end := time.Now().Add(limit); err == nil; {
		if ok, err = s.askManager(ctx, askAgain); ok {
			return nil
		}
		if err == nil && time.Now().After(end) {
			err = errors.New("the window manager does not answer")
		}
	}
	return err
}

// A program is a process of the desktop.
type program struct {
	cmd    *exec.Cmd
	output *os.File
	ended  chan struct{}
	status error // how it ended; set before ended is closed

	mu   sync.Mutex
	kept []byte // the end of what it printed; guarded by mu
}

// launch starts a program in a process group of its own.
func launch(argv, env []string, extra ...*os.File) (*program, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &program{cmd: exec.Command(argv[0], argv[1:]...), output: r, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = env, w, w, extra
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := guest.Start(p.cmd); err != nil {
		r.Close()
		return nil, err
	}
	go p.listen()
	go func() {
		p.status = guest.Wait(p.cmd)
		close(p.ended)
	}()
	return p, nil
}

// maxSaid is how much of what a program printed is told, in bytes.
const maxSaid = 500

// listen keeps the end of what the program prints.
func (p *program) listen() {
	defer p.output.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := p.output.Read(buf)
		p.mu.Lock()
		p.kept = append(p.kept, buf[:n]...)
		if over := len(p.kept) - maxSaid; over > 0 {
			p.kept = slices.Delete(p.kept, 0, over)
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *program) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) == 0 {
		return ""
	}
	return ": " + strings.ToValidUTF8(strings.TrimSpace(string(p.kept)), "�")
}

// stop ends the program and what it started in its session.
func (p *program) stop() {
	unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	<-p.ended
}

// serve starts the X server and returns when it takes connections.
func (s *Session) serve(ctx context.Context) (*program, string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	p, err := launch(s.config.server(), s.config.Env, w)
	w.Close()
	if err != nil {
		return nil, "", fmt.Errorf("the X server cannot be started: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { r.Close() })
	defer stop()
	line, err := bufio.NewReader(r).ReadString('\n')
	number, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		p.stop()
		return nil, "", fmt.Errorf("the X server did not start (%v)%s", p.status, p.said())
	}
	return p, ":" + strconv.Itoa(number), nil
}

// server is the command line of the X server, TigerVNC's. It is reached from the
// loopback only, where whoever is could as well use the display.
func (c Config) server() []string {
	argv := []string{"Xvnc"}
	if c.Display != "" {
		argv = append(argv, c.Display)
	}
	return append(argv,
		"-displayfd", "3", "-noreset", "-nolisten", "tcp",
		"-geometry", fmt.Sprintf("%dx%d", c.Width, c.Height), "-depth", "24", "-dpi", "96",
		"-rfbport", strconv.Itoa(c.Port), "-interface", "127.0.0.1", "-SecurityTypes", "None",
		"-AlwaysShared", "-AcceptSetDesktopSize=0", "-SendPrimary=0", "-SetPrimary=0", "-desktop", "AgentBay",
	)
}

// keep runs a program, again and again, until ctx is done.
func keep(ctx context.Context, argv, env []string) {
	for ctx.Err() == nil {
		began := time.Now()
		if p, err := launch(argv, env); err == nil {
			stop := context.AfterFunc(ctx, p.stop)
			<-p.ended
			stop()
		}
		if time.Since(began) > tooSoon {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Display is the name of the session's display, such as ":0"; empty while there
// is none.
func (s *Session) Display() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.display
}
