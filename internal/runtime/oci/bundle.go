package oci

import (
	"encoding/json"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest/mountpoint"
)

// capabilities are what root may do in a session: what package managers and
// daemons that change user need, and nothing that reaches beyond the session.
var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
}

// writeBundle writes the OCI specification.
func (l *launch) writeBundle() error {
	b, err := json.Marshal(l.ociSpec())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.path(bundleDir), "config.json"), b, 0o600)
}

func (l *launch) ociSpec() *specs.Spec {
	return &specs.Spec{
		Version:  "1.0.2",
		Process:  l.process(),
		Root:     &specs.Root{Path: stageRoot},
		Hostname: hostname(l.id),
		Mounts:   l.mounts(),
		Linux:    l.linux(),
	}
}

func (l *launch) process() *specs.Process {
	p := &specs.Process{
		User:            specs.User{UID: l.spec.User.UID, GID: l.spec.User.GID},
		Args:            append([]string{guestPath}, l.spec.Guest[1:]...),
		Env:             l.spec.Env,
		Cwd:             filepath.Clean("/" + l.spec.Dir),
		NoNewPrivileges: l.rt.opt.Profile.kernel,
		Rlimits:         l.rlimits(),
		Capabilities:    &specs.LinuxCapabilities{Bounding: capabilities},
	}
	if l.spec.User.UID == 0 {
		p.Capabilities.Effective, p.Capabilities.Permitted = capabilities, capabilities
	}
	return p
}

// rlimits bounds processes where the number is the session's own: gVisor counts
// those inside. The host's kernel counts a user's in all sessions, so there it
// is the cgroup that bounds them.
func (l *launch) rlimits() []specs.POSIXRlimit {
	files := openFiles()
	limits := []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: min(files, 65536), Hard: files},
		{Type: "RLIMIT_CORE"},
	}
	if !l.rt.opt.Profile.kernel {
		pids := uint64(l.spec.Limits.Pids)
		limits = append(limits, specs.POSIXRlimit{Type: "RLIMIT_NPROC", Soft: pids, Hard: pids})
	}
	return limits
}

// openFiles is how many a session may be granted: no more than the server may.
func openFiles() uint64 {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return 1024
	}
	return min(own.Max, 1<<20)
}

func (l *launch) mounts() []specs.Mount {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
		{Destination: guestPath, Type: "bind", Source: stageGuest, Options: []string{"bind", "ro", "nosuid", "nodev"}},
	}
	guarded := []string{"nosuid", "noexec", "nodev", "ro"}
	if !l.rt.opt.Profile.kernel {
		return append(mounts,
			specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: guarded},
			// Not "ro": what is mounted in it later is for writing.
			specs.Mount{Destination: mountpoint.Hub, Type: "bind", Source: stageHub, Options: []string{"bind", "nosuid", "nodev"}},
		)
	}
	return append(mounts,
		specs.Mount{Destination: "/sys", Type: "bind", Source: stageSys, Options: append([]string{"bind"}, guarded...)},
		// Where programs look for how much memory they may use.
		specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: append([]string{"relatime"}, guarded...)},
	)
}

func (l *launch) linux() *specs.Linux {
	limits := l.spec.Limits
	pids := l.rt.opt.Profile.pids(limits.Pids)
	period := uint64(100_000)
	quota := int64(limits.CPU * float64(period))
	linux := &specs.Linux{
		CgroupsPath: l.rt.cgroups.boxPath(l.id),
		Resources: &specs.LinuxResources{
			CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
			Memory: &specs.LinuxMemory{Limit: &limits.Memory},
			Pids:   &specs.LinuxPids{Limit: pids},
		},
		Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.NetworkNamespace, Path: fdPath(l.slot.netns)},
		},
	}
	if l.rt.cgroups.boundsSwap() {
		linux.Resources.Memory.Swap = &limits.Memory // of both together
	}
	if l.rt.opt.Profile.kernel {
		l.harden(linux)
	}
	return linux
}

// harden hides and denies what a session that shares the host's kernel needs not.
func (l *launch) harden(linux *specs.Linux) {
	linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	if u := l.slot.users; u != nil {
		ids := []specs.LinuxIDMapping{{HostID: u.base, Size: idsPerSlot}}
		linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		linux.UIDMappings, linux.GIDMappings = ids, ids
	}
	linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	linux.MaskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	linux.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	linux.Seccomp = seccomp()
}
