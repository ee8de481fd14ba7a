package guest

import (
	"os/exec"
	"sync"
	"sync/atomic"
)

// children knows which processes this program started itself, so that reaping
// what others left behind never takes an exit status somebody waits for.
var children = struct {
	mu    sync.RWMutex  // read-held from before a process exists until it is in own
	own   sync.Map      // pids that somebody waits for
	ended chan struct{} // filled when one of own was waited for
	procs atomic.Uint64 // see LimitProcesses
}{ended: make(chan struct{}, 1)}

// LimitProcesses makes what is started from now on, and all that comes of it,
// see at most n processes of the session's user; 0 means no such limit. Set
// below the session's own limit, it leaves the guest room to work in when a
// command starts processes without end.
func LimitProcesses(n uint64) { children.procs.Store(n) }

// Launch starts a process that this program waits for itself: start does it and
// returns its pid, and waited is called when its exit status was taken.
//
// The process is the first to go when memory runs out, before the guest.
func Launch(start func() (pid int, err error)) (waited func(), err error) {
	children.mu.RLock()
	defer children.mu.RUnlock()
	pid, err := start()
	if err != nil {
		return nil, err
	}
	children.own.Store(pid, true)
	tame(pid, children.procs.Load())
	return func() { forget(pid) }, nil
}

func forget(pid int) {
	children.own.Delete(pid)
	select {
	case children.ended <- struct{}{}:
	default:
	}
}

// Start is cmd.Start by way of [Launch]. What it starts is waited for with
// [Wait], without delay.
func Start(cmd *exec.Cmd) error {
	_, err := Launch(func() (int, error) {
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	return err
}

// Wait is cmd.Wait for what [Start] started.
func Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	forget(cmd.Process.Pid)
	return err
}
