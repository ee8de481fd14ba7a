package guest

import (
	"os/exec"
	"sync"
)

// children knows which processes this program started itself, so that reaping
// what others left behind never takes an exit status somebody waits for.
var children = struct {
	mu    sync.RWMutex  // read-held from before a process exists until it is in own
	own   sync.Map      // pids that somebody waits for
	ended chan struct{} // filled when one of own was waited for
}{ended: make(chan struct{}, 1)}

// Start is cmd.Start for a program that also calls [Reap]. Everything that runs
// in a guest is started with it, and waited for with [Wait] without delay.
func Start(cmd *exec.Cmd) error {
	children.mu.RLock()
	defer children.mu.RUnlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	children.own.Store(cmd.Process.Pid, true)
	return nil
}

// Wait is cmd.Wait for what [Start] started.
func Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	children.own.Delete(cmd.Process.Pid)
	select {
	case children.ended <- struct{}{}:
	default:
	}
	return err
}
