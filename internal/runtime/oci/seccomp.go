package oci

import (
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// denied are system calls that no program in a session needs and that have
// opened a kernel before, or that reach what is not the session's: they fail
// with EPERM, as they would for want of a capability.
var denied = []string{
	// other kernels, modules, and what watches this one
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "reboot",
	"bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "syslog", "acct", "kcmp",
	// mounts and namespaces
	"mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
	"mount_setattr", "setns", "unshare", "open_by_handle_at", "name_to_handle_at", "quotactl", "quotactl_fd", "swapon", "swapoff",
	// keys, clocks and hardware that are not the session's
	"add_key", "request_key", "keyctl", "settimeofday", "clock_settime", "clock_settime64", "stime", "clock_adjtime", "clock_adjtime64", "adjtimex",
	"iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "nfsservctl", "vhangup", "move_pages", "migrate_pages", "mbind", "set_mempolicy",
	// a second way to most system calls, past this list
	"io_uring_setup", "io_uring_enter", "io_uring_register",
}

// namespaceFlags are the bits of clone that make a namespace.
const namespaceFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// seccomp denies a list, and allows what is not on it: a session is for running
// programs that nobody has seen before.
func seccomp() *specs.LinuxSeccomp {
	deny := func(errno uint, names []string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &errno, Args: args}
	}
	s := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: architectures[runtime.GOARCH],
		Syscalls: []specs.LinuxSyscall{
			deny(uint(unix.EPERM), denied),
			// Its flags lie in memory, out of sight; libraries fall back to clone.
			deny(uint(unix.ENOSYS), []string{"clone3"}),
			// Typing into another's terminal.
			deny(uint(unix.EPERM), []string{"ioctl"}, specs.LinuxSeccompArg{Index: 1, Value: unix.TIOCSTI, Op: specs.OpEqualTo}),
		},
	}
	// One rule a flag: rules are alternatives.
	for flag := uint64(1); flag <= namespaceFlags; flag <<= 1 {
		if flag&namespaceFlags != 0 {
			arg := specs.LinuxSeccompArg{Index: 0, Value: flag, ValueTwo: flag, Op: specs.OpMaskedEqual}
			s.Syscalls = append(s.Syscalls, deny(uint(unix.EPERM), []string{"clone"}, arg))
		}
	}
	// Sockets to the hypervisor and into the kernel's cryptography.
	for _, family := range []uint64{unix.AF_VSOCK, unix.AF_ALG, unix.AF_PACKET} {
		arg := specs.LinuxSeccompArg{Index: 0, Value: family, Op: specs.OpEqualTo}
		s.Syscalls = append(s.Syscalls, deny(uint(unix.EAFNOSUPPORT), []string{"socket"}, arg))
	}
	return s
}

// architectures are those whose programs a session on the key's may run. x32
// is not among them: nothing uses it, and every list forgets it.
var architectures = map[string][]specs.Arch{
	"amd64": {specs.ArchX86_64, specs.ArchX86},
	"arm64": {specs.ArchAARCH64, specs.ArchARM},
}
