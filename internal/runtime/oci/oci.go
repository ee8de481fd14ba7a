// Package oci boots each session with an OCI runtime's command line: gVisor's
// runsc, or runc. It lends the session a copy-on-write root, a network slot and
// a cgroup, and tells what became of it. When a session should start or end is
// decided elsewhere.
//
// What is on the ledger, and what needs none. Each machine is a directory
// below StateDir, made before anything else of the machine exists and removed
// last; its name alone is enough to undo the rest. Mounts, loop devices, network
// namespaces and veth pairs are on no ledger because the kernel keeps it: mounts
// live in a mount namespace that only the machine's processes hold, and a
// network slot in a network namespace that only the server and then the
// sandbox hold. They are gone when their holders are. The exception is what a
// machine writes to mounts it is given (see written.go). The ledger is not
// fsynced: a power failure that loses it also ends all it speaks of.
//
// Lock order: machine.stopMu, machine.mountMu, then Runtime.mu. No lock is held
// across a call of the OCI runtime, except the first two, which are there to make
// others wait.
package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/runtime"
)

// Options say how to open a Runtime. Profile and StateDir are required.
type Options struct {
	Profile  *Profile // RunSC or RunC
	StateDir string   // where machines are kept; belongs to this Runtime alone
	Binary   string   // the OCI runtime; empty means the profile's name, looked up in PATH
	Platform string   // gVisor's platform; empty means systrap

	Subnet netip.Prefix   // addresses for sessions, shared by all bays of the host; zero means 198.18.0.0/15
	Slots  int            // network slots kept ready; 0 means 4, negative means none
	Cgroup string         // parent of the machines' cgroups; empty means /agentbay
	Limits runtime.Limits // for specs that do not say; zero fields mean DefaultLimits

	BootTimeout time.Duration // for a guest to say that it is ready; 0 means a minute
	Log         *slog.Logger  // nil means discard
}

// DefaultLimits are what a machine may use when neither its spec nor the
// Runtime's options say.
var DefaultLimits = runtime.Limits{CPU: 2, Memory: 2 << 30, Pids: 1024, Disk: 10 << 30}

// A Runtime boots machines with one OCI runtime.
type Runtime struct {
	opt     Options
	wall    *firewall
	slots   *pool
	cgroups hierarchy
	userNS  bool     // machines have users of their own
	loops   bool     // what machines write is in a file system of their own
	lends   bool     // the host has loop devices: what they write to mounts is, too
	nowhere *os.File // an empty network namespace, for the gofers of gVisor

	templateMu sync.Mutex   // held while a disk template is made
	spares     atomic.Int64 // names of spare disks

	mu       sync.Mutex
	machines map[agentbay.SessionID]*machine // guarded by mu
	closed   bool                            // guarded by mu
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)
)

// Open takes charge of the machines below opt.StateDir: those that run are
// adopted, of the others List tells.
//
// Invalid: the options make no sense.
// Unavailable: this host cannot offer the profile; Probe says why not.
func Open(opt Options) (*Runtime, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	groups, err := findHierarchy(opt.Cgroup)
	if err != nil {
		return nil, err
	}
	r := &Runtime{opt: opt, cgroups: groups, machines: map[agentbay.SessionID]*machine{}}
	r.lends = hasLoops()
	if opt.Profile.kernel {
		r.userNS, r.loops = canIdmap(opt.StateDir) == nil, r.lends
	}
	if err := r.clearSpares(); err != nil {
		return nil, err
	}
	if err := r.readLedger(); err != nil {
		return nil, err
	}
	if err := r.openContexts(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "cannot mount in the state directory %s", opt.StateDir)
	}
	r.wall, err = openFirewall(opt.StateDir, opt.Subnet, r.policies())
	if err != nil {
		return nil, err
	}
	if r.nowhere, err = newNetNS(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "this host cannot make network namespaces")
	}
	r.slots = openPool(opt.Subnet, opt.Slots, r.wall.group, r.furnish, opt.Log)
	r.adopt()
	return r, nil
}

// clearSpares removes what a killed server had ready.
func (r *Runtime) clearSpares() error {
	dir := filepath.Join(r.opt.StateDir, sparesDir)
	err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
	return agentbay.Wrap(err, agentbay.Unavailable, "cannot write to the state directory %s", r.opt.StateDir)
}

// furnish gives a slot what a machine needs besides a network, and what takes
// too long to make when the machine is to start.
func (r *Runtime) furnish(s *slot) (err error) {
	if r.userNS {
		if s.users, err = newUserNS(s.where.Slot); err != nil {
			return fmt.Errorf("user namespace: %w", err)
		}
	}
	if r.loops {
		s.disk, err = r.spareDisk()
		return err
	}
	if r.lends {
		_, err = r.template(r.opt.Limits.Disk) // for the machine's first mount
	}
	return err
}

// complete fills in what was left to the defaults.
func (o *Options) complete() (err error) {
	if o.Profile == nil || o.StateDir == "" {
		return agentbay.Errorf(agentbay.Invalid, "a runtime needs a profile and a state directory")
	}
	if os.Geteuid() != 0 {
		return agentbay.Errorf(agentbay.Unavailable, "%s needs root to make namespaces and cgroups; run the server as root", o.Profile.Name)
	}
	if o.Binary, err = o.Profile.find(o.Binary); err != nil {
		return err
	}
	if o.StateDir, err = filepath.Abs(o.StateDir); err != nil {
		return agentbay.Wrap(err, agentbay.Invalid, "state directory %s has no absolute path", o.StateDir)
	}
	if err := os.MkdirAll(filepath.Join(o.StateDir, machinesDir), 0o700); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "cannot make the state directory %s", o.StateDir)
	}
	o.fill()
	return checkSubnet(o.Subnet)
}

func (o *Options) fill() {
	if !o.Subnet.IsValid() {
		o.Subnet = netip.MustParsePrefix("198.18.0.0/15")
	}
	if o.Slots == 0 {
		o.Slots = 4
	}
	if o.Cgroup == "" {
		o.Cgroup = "/agentbay"
	}
	if o.Platform == "" {
		o.Platform = "systrap"
	}
	if o.BootTimeout == 0 {
		o.BootTimeout = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Limits = orLimits(o.Limits, DefaultLimits)
}

// orLimits returns l with its zero fields taken from d.
func orLimits(l, d runtime.Limits) runtime.Limits {
	if l.CPU <= 0 {
		l.CPU = d.CPU
	}
	if l.Memory <= 0 {
		l.Memory = d.Memory
	}
	if l.Pids <= 0 {
		l.Pids = d.Pids
	}
	if l.Disk <= 0 {
		l.Disk = d.Disk
	}
	return l
}

// Name returns "runsc" or "runc".
func (r *Runtime) Name() string { return r.opt.Profile.Name }

// Isolation returns "gvisor" or "container".
func (r *Runtime) Isolation() string { return r.opt.Profile.Isolation }

// goodID is what may become a directory and a cgroup.
var goodID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

// Start implements [runtime.Runtime].
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) error {
	if err := checkSpec(spec); err != nil {
		return err
	}
	spec.Limits = orLimits(spec.Limits, r.opt.Limits)
	ctx, cancel := context.WithTimeout(ctx, r.opt.BootTimeout)
	defer cancel()
	m, err := r.claim(spec.ID, cancel)
	if err != nil {
		return err
	}
	err = r.boot(ctx, m, spec)
	close(m.booted)
	if err == nil {
		return nil
	}
	if cleanErr := r.Stop(context.WithoutCancel(ctx), spec.ID); cleanErr != nil {
		r.opt.Log.Error("a machine that did not boot could not be cleared away", "session", spec.ID, "error", cleanErr)
	}
	return err
}

func checkSpec(spec runtime.Spec) error {
	if !goodID.MatchString(string(spec.ID)) {
		return agentbay.Errorf(agentbay.Invalid, "%q cannot be the name of a machine; use letters, digits, dots and dashes", spec.ID)
	}
	if len(spec.Layers) == 0 || len(spec.Guest) == 0 {
		return agentbay.Errorf(agentbay.Invalid, "a machine needs a root file system and a guest")
	}
	return nil
}

// claim makes the machine known, so that no other Start takes its ID.
func (r *Runtime) claim(id agentbay.SessionID, cancel context.CancelFunc) (*machine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, agentbay.Errorf(agentbay.Unavailable, "the server is going down; try again soon")
	}
	if _, ok := r.machines[id]; ok {
		return nil, agentbay.Errorf(agentbay.Conflict, "machine %s is already there", id)
	}
	m := newMachine(r, id)
	m.cancel = cancel
	r.machines[id] = m
	return m, nil
}

// find returns the machine of that name, or nil.
func (r *Runtime) find(id agentbay.SessionID) *machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machines[id]
}

func (r *Runtime) forget(m *machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machines[m.id] == m {
		delete(r.machines, m.id)
	}
}

// all returns every machine there is.
func (r *Runtime) all() []*machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*machine, 0, len(r.machines))
	for _, m := range r.machines {
		list = append(list, m)
	}
	return list
}

// Stop implements [runtime.Runtime].
func (r *Runtime) Stop(ctx context.Context, id agentbay.SessionID) error {
	return r.ending(ctx, id, func(m *machine) error {
		if err := m.undo(ctx); err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "machine %s could not be cleared away; stop it again", id)
		}
		r.forget(m)
		return nil
	})
}

// Halt implements [runtime.Runtime].
func (r *Runtime) Halt(ctx context.Context, id agentbay.SessionID) error {
	return r.ending(ctx, id, func(m *machine) error {
		return agentbay.Wrap(m.halt(ctx), agentbay.Unavailable, "machine %s could not be halted; try again", id)
	})
}

// ending calls f with a machine whose boot is over and that nobody else ends. If
// there is none, there is nothing to end.
func (r *Runtime) ending(ctx context.Context, id agentbay.SessionID, f func(*machine) error) error {
	m := r.find(id)
	if m == nil {
		return nil
	}
	if err := m.endBoot(ctx); err != nil {
		return err
	}
	m.stopMu.Lock()
	defer m.stopMu.Unlock()
	if r.find(id) != m {
		return nil
	}
	return f(m)
}

// endBoot waits for a machine that boots to be up or to have failed, soon.
func (m *machine) endBoot(ctx context.Context) error {
	m.cancel()
	select {
	case <-m.booted:
		return nil
	case <-ctx.Done():
		return agentbay.Wrap(ctx.Err(), agentbay.Unavailable, "machine %s is still starting; stop it again", m.id)
	}
}

// List implements [runtime.Runtime].
func (r *Runtime) List(context.Context) ([]runtime.Machine, error) {
	var list []runtime.Machine
	for _, m := range r.all() {
		list = append(list, runtime.Machine{ID: m.id, Alive: m.alive()})
	}
	return list, nil
}

// Dial implements [runtime.Runtime].
func (r *Runtime) Dial(ctx context.Context, id agentbay.SessionID) (net.Conn, error) {
	m := r.find(id)
	if m == nil || !m.alive() {
		return nil, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(m.rec.Place.Addr.String(), strconv.Itoa(guest.Port)))
	if err != nil && m.alive() {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the guest of machine %s does not take the connection; try again", id)
	}
	if err == nil {
		if kept, ok := m.keep(c); ok {
			return kept, nil
		}
	}
	return nil, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
}

// Wait implements [runtime.Runtime].
func (r *Runtime) Wait(ctx context.Context, id agentbay.SessionID) (runtime.Exit, error) {
	m := r.find(id)
	if m == nil {
		return runtime.Exit{Reason: "there is no such machine"}, nil
	}
	select {
	case <-m.done:
		return m.exit, nil
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
}

// Close stops watching, and gives back the network slots that no machine uses.
// A Runtime without machines leaves nothing on the host but its state directory.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	empty := len(r.machines) == 0
	r.mu.Unlock()
	errs := []error{r.slots.close(), r.nowhere.Close()}
	for _, m := range r.all() {
		m.unwatch()
	}
	if empty {
		errs = append(errs, r.wall.remove(), r.closeContexts())
		r.cgroups.removeParent()
	}
	return errors.Join(errs...)
}
