// Package fake boots sessions that are no machines: each is an HTTP server of
// this process, reached over pipes in memory. It keeps every promise of a
// runtime but isolation, and can be told to break some.
package fake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A Runtime boots machines in this process. The zero Runtime's guests answer
// every request with 404.
type Runtime struct {
	// Guest makes the guest of a machine. It returns what the guest serves, or
	// an error if it does not come up.
	Guest func(Spec) (http.Handler, error)

	// Faults are read at each call. Once the Runtime is used, SetFaults changes
	// them.
	Faults Faults // guarded by mu

	mu       sync.Mutex
	machines map[agentbay.SessionID]*machine // guarded by mu
	closed   bool                            // guarded by mu
}

// A Spec is what a guest is made from.
type Spec struct {
	runtime.Spec

	// Exit ends the machine, as a guest does that exits with that status.
	Exit func(status int)

	// Done is closed when the machine has ended, and Booting is done when it
	// need not get ready any more.
	Done    <-chan struct{}
	Booting context.Context
}

// Faults are what goes wrong. The zero Faults is a good day.
type Faults struct {
	Start func(runtime.Spec) error       // Start fails so
	Stop  func(agentbay.SessionID) error // Stop fails so, and frees nothing
	Dial  func(agentbay.SessionID) error // Dial fails so
	Mount func(runtime.Mount) error      // Mount fails so
	Boot  time.Duration                  // a boot takes that long

	// Usage is what machines use. Nil means made-up numbers that grow with time.
	Usage func(agentbay.SessionID) runtime.Usage
}

// SetFaults changes what goes wrong from now on.
func (r *Runtime) SetFaults(f Faults) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Faults = f
}

func (r *Runtime) faults() Faults {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Faults
}

// A machine is one session's server.
type machine struct {
	spec   runtime.Spec
	cancel context.CancelFunc // ends the boot
	booted chan struct{}      // closed when the boot is over
	server *http.Server       // set before booted is closed; nil if the boot failed
	line   pipes              // to the server
	since  time.Time

	mountMu sync.Mutex
	mounts  []mounted // guarded by mountMu

	once sync.Once
	done chan struct{} // closed when the machine has ended
	exit runtime.Exit  // set before done is closed
}

var (
	_ runtime.Runtime = (*Runtime)(nil)
	_ runtime.Meter   = (*Runtime)(nil)
)

// Name returns "fake".
func (r *Runtime) Name() string { return "fake" }

// Isolation returns "none".
func (r *Runtime) Isolation() string { return "none" }

// goodID is what the other runtimes accept.
var goodID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$`)

// Start implements [runtime.Runtime].
func (r *Runtime) Start(ctx context.Context, spec runtime.Spec) error {
	if !goodID.MatchString(string(spec.ID)) {
		return agentbay.Errorf(agentbay.Invalid, "%q cannot be the name of a machine", spec.ID)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &machine{spec: spec, cancel: cancel, booted: make(chan struct{}), done: make(chan struct{}), since: time.Now()}
	m.line = pipes{make(chan net.Conn), m.done}
	if err := r.claim(m); err != nil {
		return err
	}
	err := r.boot(ctx, m)
	close(m.booted)
	if err != nil {
		r.forget(m)
		return agentbay.Wrap(err, orUnavailable(err), "the machine did not come up; the server's log says why")
	}
	return nil
}

// orUnavailable is the code err has, or Unavailable.
func orUnavailable(err error) agentbay.Code {
	var known *agentbay.Error
	if errors.As(err, &known) {
		return known.Code
	}
	return agentbay.Unavailable
}

func (r *Runtime) claim(m *machine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return agentbay.Errorf(agentbay.Unavailable, "the server is going down; try again soon")
	}
	if _, ok := r.machines[m.spec.ID]; ok {
		return agentbay.Errorf(agentbay.Conflict, "machine %s is already there", m.spec.ID)
	}
	if r.machines == nil {
		r.machines = map[agentbay.SessionID]*machine{}
	}
	r.machines[m.spec.ID] = m
	return nil
}

func (r *Runtime) boot(ctx context.Context, m *machine) error {
	faults := r.faults()
	if faults.Start != nil {
		if err := faults.Start(m.spec); err != nil {
			return err
		}
	}
	if faults.Boot > 0 {
		select {
		case <-time.After(faults.Boot):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	handler := http.NotFoundHandler()
	if r.Guest != nil {
		h, err := r.Guest(Spec{Spec: m.spec, Exit: m.exited, Done: m.done, Booting: ctx})
		if err != nil {
			return err
		}
		handler = h
	}
	m.server = &http.Server{Handler: handler}
	go m.server.Serve(m.line)
	return nil
}

// exited is the end of a guest that exits. It may be called by the guest.
func (m *machine) exited(status int) {
	m.end(fmt.Sprintf("the guest ended with status %d", status))
}

// end ends the machine. Only the first reason counts.
func (m *machine) end(reason string) {
	m.once.Do(func() {
		m.exit = runtime.Exit{Reason: reason}
		close(m.done)
		if m.server != nil {
			m.server.Close()
		}
	})
}

// Kill ends the machine as a crash would, for the reason given.
func (r *Runtime) Kill(id agentbay.SessionID, reason string) error {
	m := r.find(id)
	if m == nil {
		return agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	<-m.booted
	m.end(reason)
	return nil
}

// Reopen returns what another server finds that is started after this one was
// killed. The Runtime itself must not be used any more.
func (r *Runtime) Reopen() *Runtime {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return &Runtime{Guest: r.Guest, Faults: r.Faults, machines: r.machines}
}

func (r *Runtime) find(id agentbay.SessionID) *machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machines[id]
}

func (r *Runtime) forget(m *machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machines[m.spec.ID] == m {
		delete(r.machines, m.spec.ID)
	}
}

// Stop implements [runtime.Runtime].
func (r *Runtime) Stop(ctx context.Context, id agentbay.SessionID) error {
	if fail := r.faults().Stop; fail != nil {
		if err := fail(id); err != nil {
			return err
		}
	}
	m := r.find(id)
	if m == nil {
		return nil
	}
	if err := m.halt(ctx); err != nil {
		return err
	}
	if err := m.unmount(); err != nil {
		return agentbay.Wrap(err, agentbay.Unavailable, "machine %s could not be cleared away; stop it again", id)
	}
	r.forget(m)
	return nil
}

// List implements [runtime.Runtime].
func (r *Runtime) List(context.Context) ([]runtime.Machine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []runtime.Machine
	for id, m := range r.machines {
		list = append(list, runtime.Machine{ID: id, Alive: m.alive()})
	}
	slices.SortFunc(list, func(a, b runtime.Machine) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return list, nil
}

func (m *machine) alive() bool {
	select {
	case <-m.booted:
	default:
		return false
	}
	select {
	case <-m.done:
		return false
	default:
		return m.server != nil
	}
}

// Dial implements [runtime.Runtime].
func (r *Runtime) Dial(ctx context.Context, id agentbay.SessionID) (net.Conn, error) {
	if fail := r.faults().Dial; fail != nil {
		if err := fail(id); err != nil {
			return nil, err
		}
	}
	m := r.find(id)
	if m == nil || !m.alive() {
		return nil, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	conn, err := m.line.dial(ctx)
	if err != nil && !m.alive() {
		return nil, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	return conn, agentbay.Wrap(err, agentbay.Unavailable, "the guest of machine %s does not take the connection; try again", id)
}

// Wait implements [runtime.Runtime].
func (r *Runtime) Wait(ctx context.Context, id agentbay.SessionID) (runtime.Exit, error) {
	m := r.find(id)
	if m == nil {
		return runtime.Exit{Reason: "there is no such machine"}, nil
	}
	if err := ctx.Err(); err != nil {
		return runtime.Exit{}, err
	}
	select {
	case <-m.done:
		return m.exit, nil
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
}

// Usage implements [runtime.Meter].
func (r *Runtime) Usage(_ context.Context, id agentbay.SessionID) (runtime.Usage, error) {
	m := r.find(id)
	if m == nil || !m.alive() {
		return runtime.Usage{}, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	if usage := r.faults().Usage; usage != nil {
		return usage(id), nil
	}
	l := m.spec.Limits
	age := time.Since(m.since)
	return runtime.Usage{
		CPU: age, Cores: l.CPU, Memory: 1 << 20, MemoryLimit: l.Memory, Disk: 1 << 10, DiskLimit: l.Disk,
		Received: 1 + age.Milliseconds(), Transmitted: 1 + age.Milliseconds(),
	}, nil
}

// Close leaves the machines as they are.
func (r *Runtime) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}
