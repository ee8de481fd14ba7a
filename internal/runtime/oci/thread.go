package oci

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating system thread of its own, which ends with f.
// Namespaces and cgroups that f enters are left with the thread, and what f
// starts is started in them.
func onThread(f func() error) error {
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			errc <- f()
			return // still locked: the thread ends here
		}
		// The process's first thread cannot end, and stands for the process in
		// /proc. Keep it busy and take another.
		defer runtime.UnlockOSThread()
		errc <- onThread(f)
	}()
	return <-errc
}

// privateMounts gives the calling thread a mount namespace of its own, from
// which nothing spreads to the host.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}
