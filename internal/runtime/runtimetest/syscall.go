package runtimetest

import (
	"fmt"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syscallOf asks the kernel for what a session must not be given. No error
// means that it was given.
func syscallOf(name string) error {
	switch name {
	case "mount":
		return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "")
	case "unshare":
		return unix.Unshare(unix.CLONE_NEWUTS)
	case "clone-user":
		cmd := exec.Command("/proc/self/exe", Die)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		err := cmd.Start()
		if err == nil {
			cmd.Wait()
		}
		return err
	case "bpf":
		var attr [128]byte
		return call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)))
	case "keyctl":
		return call(unix.SYS_KEYCTL, 0, ^uintptr(2), 1) // the session keyring
	case "vsock":
		return socket(unix.AF_VSOCK, unix.SOCK_STREAM)
	case "packet":
		return socket(unix.AF_PACKET, unix.SOCK_RAW)
	case "io_uring":
		var params [120]byte
		return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	}
	return fmt.Errorf("no try named %q", name)
}

func call(number, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
