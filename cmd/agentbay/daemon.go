package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/store"
)

func (a *app) downCommand() *cobra.Command {
	var sessions bool
	c := &cobra.Command{
		Use:   "down",
		Short: "Stop the server that runs on the data directory",
		Long: `Stop the server that runs on the data directory, and wait until it has ended. Its
sessions go on, and the next server takes them over; with --sessions they are
released as well, those of every key.`,
		Example: `  agentbay down
  agentbay down --sessions`,
		Args: cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error {
			if err := a.stopServer(ctx); err != nil || !sessions {
				return err
			}
			return a.releaseAll(ctx)
		}),
	}
	c.Flags().BoolVar(&sessions, "sessions", false, "release all sessions")
	return c
}

// isRunning reports whether a server has the data directory. What it wrote
// there does not tell: it may have been killed.
func (a *app) isRunning(ctx context.Context) (bool, error) {
	s, err := store.Serve(ctx, a.data)
	if errors.Is(err, agentbay.Conflict) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, s.Close()
}

// stopServer ends the server and returns when it has.
func (a *app) stopServer(ctx context.Context) error {
	running, err := a.isRunning(ctx)
	if err != nil {
		return err
	}
	if !running {
		a.withdraw()
		a.sayf("no server is running on %s", a.data)
		return nil
	}
	s, err := a.readServer()
	if err != nil {
		return err
	}
	if err := terminate(ctx, s.PID); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "the server with process ID %d did not stop", s.PID)
	}
	a.sayf("the server has stopped")
	return nil
}

// terminate asks a process to end and waits for it.
func terminate(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 500)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}

// releaseAll ends every session of the data directory, on which no server runs.
func (a *app) releaseAll(ctx context.Context) error {
	o := &serveOptions{}
	o.flags(pflag.NewFlagSet("defaults", pflag.ContinueOnError))
	h, err := a.openHost(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer h.close()
	held, err := h.bay.Store.Held(ctx)
	if err != nil {
		return err
	}
	for _, s := range held {
		if err := h.bay.Store.Deleting(ctx, s.ID, "released when the server was taken down"); err != nil {
			return err
		}
	}
	if err := h.bay.Start(ctx); err != nil { // finishes every deletion that was begun
		return err
	}
	if err := h.bay.Shutdown(ctx); err != nil {
		return err
	}
	a.sayf("%d sessions released", len(held))
	return nil
}

// startServer starts a server in the background and returns when it answers.
// It is in a process session of its own, and what it prints goes to DATA/log.
func (a *app) startServer(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	output, err := a.openOutput()
	if err != nil {
		return err
	}
	defer output.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(self, append([]string{"serve"}, args...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = w, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return agentbay.Wrap(err, agentbay.Internal, "the server could not be started")
	}
	if err := awaitServer(ctx, r); err != nil {
		return a.explain(err, cmd, output)
	}
	return cmd.Process.Release()
}

func (a *app) openOutput() (*os.File, error) {
	if err := os.MkdirAll(a.path("log"), 0o700); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Denied, "the data directory cannot be written; run as root, or name another with --data")
	}
	return os.OpenFile(a.path("log", "server.out"), os.O_CREATE|os.O_RDWR|os.O_TRUNC|os.O_APPEND, 0o600)
}

// awaitServer reads what a server prints until it says that it listens.
func awaitServer(ctx context.Context, out *os.File) error {
	stop := context.AfterFunc(ctx, func() { out.SetReadDeadline(time.Now()) })
	defer stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "bay at ") {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the server ended before it listened")
}

// explain adds to err what the server wrote before it ended, and its code.
func (a *app) explain(err error, cmd *exec.Cmd, output *os.File) error {
	if errors.Is(err, context.Canceled) {
		cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.Wait()
	output.Seek(0, io.SeekStart)
	said, _ := io.ReadAll(io.LimitReader(output, 4096))
	code := agentbay.Internal
	for c, status := range statuses {
		if cmd.ProcessState.ExitCode() == status {
			code = c
		}
	}
	return agentbay.Errorf(code, "%v: %s", err, firstLine(said))
}

// firstLine is what a command said went wrong, without its name.
func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return fmt.Sprintf("%s", bytes.TrimPrefix(line, []byte("agentbay: ")))
}
