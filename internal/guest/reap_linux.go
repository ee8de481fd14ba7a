package guest

import (
	"context"
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reap takes the exit statuses of orphans, which the kernel hands to process 1,
// until ctx is done.
func Reap(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		for reapOne() {
		}
		select {
		case <-died:
		case <-children.ended: // it may have stood before an orphan
		case <-ctx.Done():
			return
		}
	}
}

// reapOne takes the status of the first dead child unless it is one of ours,
// and reports whether there may be more.
func reapOne() bool {
	children.mu.Lock() // nobody is between starting a process and noting it
	defer children.mu.Unlock()
	pid := firstDead()
	if pid == 0 {
		return false
	}
	if _, own := children.own.Load(pid); own {
		return false
	}
	_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil
}

// firstDead is the first child whose status can be taken, which is left where
// it is; 0 if there is none.
func firstDead() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0
	}
	const pidOffset = 16 // of si_pid in siginfo_t, on 64-bit Linux
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), pidOffset)))
}
