package fake

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/mountpoint"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A mounted is a mount that the machine says it shows. What is written to it is
// in one plain directory, which its layers are not in.
type mounted struct {
	runtime.Mount
	dir string
}

// goodMount is what the other runtimes accept.
var goodMount = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,99}$`)

// Mount implements [runtime.Runtime]. Nothing appears at the targets: a fake
// machine's files are the host's. See [Runtime.Mounts] and [Runtime.Written].
func (r *Runtime) Mount(_ context.Context, id agentbay.SessionID, mounts ...runtime.Mount) error {
	m := r.find(id)
	if m == nil || !m.alive() {
		return agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	m.mountMu.Lock()
	defer m.mountMu.Unlock()
	for _, want := range mounts {
		if err := m.checkMountLocked(want, r.faults().Mount); err != nil {
			return err
		}
	}
	for _, want := range mounts {
		dir, err := os.MkdirTemp("", "agentbay-fake-")
		if err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "no directory for what the machine writes")
		}
		m.mounts = append(m.mounts, mounted{want, dir})
	}
	return nil
}

func (m *machine) checkMountLocked(want runtime.Mount, fail func(runtime.Mount) error) error {
	if fail != nil {
		if err := fail(want); err != nil {
			return err
		}
	}
	if !goodMount.MatchString(want.Name) {
		return agentbay.Errorf(agentbay.Invalid, "%q cannot be the name of a mount", want.Name)
	}
	if m.mountLocked(want.Name) != nil {
		return agentbay.Errorf(agentbay.Conflict, "machine %s has a mount %q", m.spec.ID, want.Name)
	}
	return mountpoint.Check(want.Target)
}

// mountLocked returns the mount of that name, or nil.
func (m *machine) mountLocked(name string) *mounted {
	i := slices.IndexFunc(m.mounts, func(at mounted) bool { return at.Name == name })
	if i < 0 {
		return nil
	}
	return &m.mounts[i]
}

// Mounts returns what was mounted in a machine, in that order.
func (r *Runtime) Mounts(id agentbay.SessionID) (list []runtime.Mount) {
	m := r.find(id)
	if m == nil {
		return nil
	}
	m.mountMu.Lock()
	defer m.mountMu.Unlock()
	for _, at := range m.mounts {
		list = append(list, at.Mount)
	}
	return list
}

// Written implements [runtime.Runtime]. Upper and Merged are the same directory.
func (r *Runtime) Written(_ context.Context, id agentbay.SessionID, name string) (runtime.Written, error) {
	if m := r.find(id); m != nil {
		m.mountMu.Lock()
		defer m.mountMu.Unlock()
		if at := m.mountLocked(name); at != nil {
			return runtime.Written{Upper: at.dir, Merged: at.dir, Close: func() error { return nil }}, nil
		}
	}
	return runtime.Written{}, agentbay.Errorf(agentbay.NotFound, "machine %s has no mount %q", id, name)
}

// Halt implements [runtime.Runtime].
func (r *Runtime) Halt(ctx context.Context, id agentbay.SessionID) error {
	m := r.find(id)
	if m == nil {
		return nil
	}
	return m.halt(ctx)
}

// halt ends a machine, and its boot before that.
func (m *machine) halt(ctx context.Context) error {
	m.cancel()
	select {
	case <-m.booted:
	case <-ctx.Done():
		return agentbay.Wrap(ctx.Err(), agentbay.Unavailable, "machine %s is still starting; stop it again", m.spec.ID)
	}
	m.end("stopped")
	return nil
}

// unmount removes what was written to mounts.
func (m *machine) unmount() error {
	m.mountMu.Lock()
	defer m.mountMu.Unlock()
	var errs []error
	for _, at := range m.mounts {
		errs = append(errs, os.RemoveAll(at.dir))
	}
	return errors.Join(errs...)
}
