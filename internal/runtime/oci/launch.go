package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/mountpoint"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A launch is one attempt to boot a machine.
type launch struct {
	*machine
	spec       runtime.Spec
	slot       *slot
	stateRoot  string // the OCI runtime's state directory, by a name short enough for a socket
	emptyNetNS string
}

// boot makes the machine and returns once its guest is ready. What it has made
// when it fails is for undo.
//
// The order matters: the directory is the ledger entry, so it comes first; the
// cgroup comes before the first process, so that every process is found by it.
func (r *Runtime) boot(ctx context.Context, m *machine, spec runtime.Spec) error {
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return full(err, "cannot write to the ledger")
	}
	slot, err := r.slots.take(ctx)
	if err != nil {
		return full(err, "no network for the machine")
	}
	defer slot.let() // from then on the machine holds it
	m.rec = record{Place: slot.where, Network: spec.Network, Limits: spec.Limits, User: spec.User}
	l := &launch{machine: m, spec: spec, slot: slot}
	for _, step := range []func() error{l.connect, l.record, l.prepare} {
		if err := step(); err != nil {
			return full(err, "the machine could not be prepared")
		}
	}
	if err := l.run(ctx); err != nil {
		return l.failure(err)
	}
	if err := l.awaitReady(ctx); err != nil {
		return err
	}
	// With its process on record the machine will be adopted, so it must be up.
	return full(l.record(), "cannot write to the ledger")
}

// full is Exhausted if err says that the host has no room, else Unavailable.
func full(err error, message string) error {
	if err == nil {
		return nil
	}
	var known *agentbay.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) {
		return agentbay.Wrap(err, agentbay.Exhausted, "the host is full; delete sessions or add room")
	}
	return agentbay.Wrap(err, agentbay.Unavailable, "%s; try again", message)
}

// connect lets the slot reach what the spec says, and no more.
func (l *launch) connect() (err error) {
	if l.rec.Group, err = l.rt.wall.admit(l.spec.Network); err != nil {
		return err
	}
	return l.slot.setGroup(l.rec.Group)
}

func (l *launch) record() error { return l.rec.write(l.dir) }

// prepare makes the machine's files and its cgroup.
func (l *launch) prepare() error {
	for _, name := range []string{bundleDir, stateDir, topDir, diskDir, hubDir} {
		if err := os.Mkdir(l.path(name), 0o755); err != nil {
			return err
		}
	}
	if err := errors.Join(l.writeTop(), l.ownDisk()); err != nil {
		return err
	}
	return l.rt.cgroups.make(l.id)
}

// run starts the container with the OCI runtime's command line and watches it.
func (l *launch) run(ctx context.Context) error {
	state, err := os.Open(l.path(stateDir))
	if err != nil {
		return err
	}
	defer state.Close()
	l.emptyNetNS, l.stateRoot = fdPath(l.rt.nowhere), fdPath(state)
	if err := l.writeBundle(); err != nil {
		return err
	}
	defer os.RemoveAll(l.path(bundleDir))
	if err := l.command(ctx); err != nil {
		return err
	}
	return l.watchPidFile()
}

// command runs the command line to its end, in the machine's cgroup and mount
// namespace.
func (l *launch) command(ctx context.Context) error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	l.console = readConsole(out)
	secret, err := filled(l.spec.Token)
	if err != nil {
		return err
	}
	defer secret.Close()
	opt := &l.rt.opt
	cmd := exec.CommandContext(ctx, opt.Binary, opt.Profile.command(opt, l)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = secret, in, in
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := onThread(func() error { return l.start(cmd) }); err != nil {
		return err
	}
	return cmd.Wait()
}

// filled returns a pipe with the guest's secret in it, and nobody to write more.
func filled(secret string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.WriteString(secret[:min(len(secret), 4<<10)]) // a pipe holds as much
	return r, errors.Join(err, w.Close())
}

// start starts cmd from a thread that is given up afterwards. The order
// matters: once the thread has mounts of its own it is good for nothing else.
func (l *launch) start(cmd *exec.Cmd) error {
	if err := privateMounts(); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := l.rt.hideContexts(); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := l.mountRoot(); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	return l.startInCgroup(cmd)
}

func (l *launch) watchPidFile() error {
	b, err := os.ReadFile(l.path(pidFile))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	return l.watch(pid, 0)
}

// awaitReady waits for the guest's word that it listens.
func (l *launch) awaitReady(ctx context.Context) error {
	select {
	case <-l.console.ready:
		return nil
	case <-l.console.ended:
		return l.failure(errors.New("its output ended before it was ready"))
	case <-l.done:
		return l.failure(errors.New(l.exit.Reason))
	case <-ctx.Done():
		return l.failure(ctx.Err())
	}
}

// failure is what Start says of a machine that did not come up.
func (l *launch) failure(cause error) error {
	if l.console != nil {
		if said := l.console.String(); said != "" {
			cause = fmt.Errorf("%w; it said: %s", cause, said)
		}
	}
	if errors.Is(cause, unix.ENOSPC) {
		return full(cause, "")
	}
	return agentbay.Wrap(cause, agentbay.Unavailable, "the machine did not come up; the server's log says why")
}

// guestPath is where a machine finds its guest.
const guestPath = mountpoint.Reserved + "/guest"

// writeTop writes the layer that lies above the image's: mount points, the
// machine's names and name servers, and the working directory if the image has none.
func (l *launch) writeTop() error {
	for _, dir := range []string{"etc", "proc", "sys", "dev", mountpoint.Reserved, mountpoint.Hub} {
		if err := os.Mkdir(filepath.Join(l.path(topDir), dir), 0o755); err != nil {
			return err
		}
	}
	// Nobody in a session has any business in there.
	if err := errors.Join(os.Chmod(l.path(topDir)+mountpoint.Hub, 0o700), os.Chmod(l.path(hubDir), 0o700)); err != nil {
		return err
	}
	// Where X servers put their sockets. gVisor would lay a tmpfs on an empty
	// /tmp, which takes memory and knows no disk limit.
	for _, dir := range []string{"tmp", "tmp/.X11-unix"} {
		path := filepath.Join(l.path(topDir), dir)
		if err := errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o777|os.ModeSticky)); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/hostname":    hostname(l.id) + "\n",
		"etc/hosts":       fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", l.rec.Place.Addr, hostname(l.id)),
		"etc/resolv.conf": resolvConf(l.spec.Network),
		"." + guestPath:   "",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(l.path(topDir), name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return l.makeDir(l.spec.Dir)
}

// makeDir makes the working directory, for the user, if no layer has it. Its
// parents are shown as the image has them, or else as root's.
func (l *launch) makeDir(dir string) error {
	dir = filepath.Clean("/" + dir)
	if dir == "/" || l.inLayers(dir) != nil {
		return nil
	}
	if err := l.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	path := filepath.Join(l.path(topDir), dir)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chown(path, int(l.spec.User.UID), int(l.spec.User.GID))
}

func (l *launch) makeParents(dir string) error {
	if dir == "/" {
		return nil
	}
	if err := l.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	path := filepath.Join(l.path(topDir), dir)
	if err := os.Mkdir(path, 0o755); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	}
	info := l.inLayers(dir)
	if info == nil {
		return nil
	}
	owner := info.Sys().(*syscall.Stat_t)
	return errors.Join(os.Chown(path, int(owner.Uid), int(owner.Gid)), os.Chmod(path, info.Mode()))
}

// inLayers returns what the image has at path, or nil.
func (l *launch) inLayers(path string) os.FileInfo {
	for _, layer := range l.spec.Layers {
		if info, err := os.Lstat(filepath.Join(layer, path)); err == nil {
			return info
		}
	}
	return nil
}

// hostname is the start of the machine's name, as long as a host's may be.
func hostname(id agentbay.SessionID) string {
	return strings.Trim(string(id[:min(len(id), 63)]), "-._")
}

// resolvConf names the spec's servers, else two that everybody may ask.
func resolvConf(n runtime.Network) string {
	var b strings.Builder
	for _, s := range n.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if b.Len() == 0 && n.Internet {
		io.WriteString(&b, "nameserver 1.1.1.1\nnameserver 8.8.8.8\n")
	}
	return b.String()
}
