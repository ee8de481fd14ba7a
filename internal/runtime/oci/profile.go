package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"

	"github.com/agentbay/agentbay"
)

// A Profile is what differs between OCI runtimes.
type Profile struct {
	Name      string // also the program's name
	Isolation string // see runtime.Runtime

	userNS  bool                                 // root inside is nobody outside
	kernel  bool                                 // sessions share the host's kernel
	pids    func(limit int64) int64              // what the host must grant for limit processes inside
	command func(o *Options, m *launch) []string // arguments that start the container detached

	opener func(*machine) (pid int, err error) // who opens files for the machine
	show   func(context.Context, *machine, *view, []*stack) (left bool, err error)
}

// RunSC is gVisor: system calls of a session are served by a kernel of its own.
var RunSC = &Profile{
	Name:      "runsc",
	Isolation: "gvisor",
	// The sandbox's own threads, and those that stand in for the session's, count too.
	pids:    func(limit int64) int64 { return 2*limit + 256 },
	command: runscCommand,
	opener:  gofer,
	show:    showInSandbox,
}

// RunC is a Linux container: sessions share the host's kernel, behind a user
// namespace, seccomp and few capabilities.
var RunC = &Profile{
	Name:      "runc",
	Isolation: "container",
	kernel:    true,
	pids:      func(limit int64) int64 { return limit },
	command:   runcCommand,
	opener:    firstProcess,
	show:      showInContainer,
}

// Profiles is every way this package can boot a machine, the safest first.
var Profiles = []*Profile{RunSC, RunC}

// find returns where the OCI runtime is.
func (p *Profile) find(binary string) (string, error) {
	if binary == "" {
		binary = p.Name
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return "", agentbay.Wrap(err, agentbay.Unavailable, "%s is not installed; install it, or say where it is", binary)
	}
	return path, nil
}

// runscCommand runs gVisor without a log, with the session's writes in one
// unlinked file of bounded size, and with a gofer that has no network.
func runscCommand(o *Options, l *launch) []string {
	return []string{
		"--root", l.stateRoot,
		"--platform", o.Platform,
		"--network", "sandbox",
		"--overlay2", fmt.Sprintf("root:dir=%s,size=%d", l.machine.path(diskDir), l.spec.Limits.Disk),
		"--gofer-network-namespace", l.emptyNetNS,
		"--host-settings", "ignore",
		"run", "-detach", "-pid-file", l.machine.path(pidFile), "-bundle", l.machine.path(bundleDir), l.containerID(),
	}
}

func runcCommand(_ *Options, l *launch) []string {
	return []string{
		"--root", l.stateRoot,
		"run", "--detach", "--pid-file", l.machine.path(pidFile), "--bundle", l.machine.path(bundleDir), l.containerID(),
	}
}

// containerID is the machine's name to the OCI runtime, which looks for it in a
// directory that holds no other. It is no other machine's all the same: gVisor
// remembers the path of its socket, which begins with the number of a file that
// was open at the time, and by that number another machine's directory may be
// found later.
func (m *machine) containerID() string {
	sum := sha256.Sum256([]byte(m.id))
	return hex.EncodeToString(sum[:16]) // a socket's path must be short
}

// fdPath names an open file of this process for a child that does not inherit it.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }
