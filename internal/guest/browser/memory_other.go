//go:build !linux

package browser

// guard has nothing to do: gVisor's sessions are Linux.
func (p *process) guard() {}
