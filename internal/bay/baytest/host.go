package baytest

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A Host is a runtime whose machines are handlers in this process, reached over
// pipes in memory. With nothing of the kernel in it, it works under
// testing/synctest. The zero Host boots machines that do not answer.
type Host struct {
	Guest func(runtime.Spec) http.Handler // what answers in a machine

	mu       sync.Mutex
	trouble  Trouble                         // guarded by mu
	machines map[agentbay.SessionID]*machine // guarded by mu
}

// A Trouble is asked before each operation ("start", "stop", "list"). Its error
// becomes the operation's, and it may take its time.
type Trouble func(ctx context.Context, operation string, id agentbay.SessionID) error

var (
	_ runtime.Runtime = (*Host)(nil)
	_ runtime.Meter   = (*Host)(nil)
)

// A machine is one machine, dead or alive.
type machine struct {
	spec  runtime.Spec
	conns chan net.Conn
	dead  chan struct{} // closed when it ends
	exit  runtime.Exit  // set before dead is closed
	usage runtime.Usage
}

func (*Host) Name() string      { return "host" }
func (*Host) Isolation() string { return "none" }
func (*Host) Close() error      { return nil }

// SetTrouble makes trouble from now on; nil makes none.
func (h *Host) SetTrouble(trouble Trouble) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = trouble
}

func (h *Host) ask(ctx context.Context, operation string, id agentbay.SessionID) error {
	h.mu.Lock()
	trouble := h.trouble
	h.mu.Unlock()
	if trouble == nil {
		return ctx.Err()
	}
	return cmp.Or(trouble(ctx, operation, id), ctx.Err())
}

// Start boots a machine.
func (h *Host) Start(ctx context.Context, spec runtime.Spec) error {
	if err := h.ask(ctx, "start", spec.ID); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.machines[spec.ID] != nil {
		return agentbay.Errorf(agentbay.Conflict, "machine %s is already there", spec.ID)
	}
	m := &machine{spec: spec, conns: make(chan net.Conn), dead: make(chan struct{})}
	if h.machines == nil {
		h.machines = map[agentbay.SessionID]*machine{}
	}
	h.machines[spec.ID] = m
	if h.Guest != nil {
		m.serve(h.Guest(spec))
	}
	return nil
}

// serve answers on the machine's line until it ends.
func (m *machine) serve(guest http.Handler) {
	srv := &http.Server{Handler: guest}
	go srv.Serve(m)
	go func() {
		<-m.dead
		srv.Close()
	}()
}

// Accept, Close and Addr make a machine the listener of its own guest.
func (m *machine) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.dead:
		return nil, net.ErrClosed
	}
}

func (m *machine) Close() error   { return nil }
func (m *machine) Addr() net.Addr { return new(net.UnixAddr) }

// Dial connects to a machine's guest.
func (h *Host) Dial(ctx context.Context, id agentbay.SessionID) (net.Conn, error) {
	m := h.machine(id)
	if m == nil {
		return nil, agentbay.Errorf(agentbay.NotFound, "machine %s is not there", id)
	}
	ours, theirs := net.Pipe()
	select {
	case m.conns <- theirs:
		return ours, nil
	case <-m.dead:
		return nil, agentbay.Errorf(agentbay.NotFound, "machine %s has ended", id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *Host) machine(id agentbay.SessionID) *machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.machines[id]
}

// Kill ends a machine as if by itself. What it held stays until Stop.
func (h *Host) Kill(id agentbay.SessionID, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.machines[id].end(reason)
}

func (m *machine) end(reason string) {
	select {
	case <-m.dead:
	default:
		m.exit.Reason = reason
		close(m.dead)
	}
}

// Stop ends a machine and forgets it.
func (h *Host) Stop(ctx context.Context, id agentbay.SessionID) error {
	if err := h.ask(ctx, "stop", id); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.machines[id]; m != nil {
		m.end("stopped")
		delete(h.machines, id)
	}
	return nil
}

// StopAll ends every machine, whatever the trouble.
func (h *Host) StopAll() {
	h.SetTrouble(nil)
	for id := range h.Specs() {
		h.Stop(context.Background(), id)
	}
}

// List names every machine.
func (h *Host) List(ctx context.Context) (all []runtime.Machine, err error) {
	if err := h.ask(ctx, "list", ""); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, m := range h.machines {
		all = append(all, runtime.Machine{ID: id, Alive: m.alive()})
	}
	return all, nil
}

func (m *machine) alive() bool {
	select {
	case <-m.dead:
		return false
	default:
		return true
	}
}

// Wait returns when a machine has ended.
func (h *Host) Wait(ctx context.Context, id agentbay.SessionID) (runtime.Exit, error) {
	m := h.machine(id)
	if m == nil {
		return runtime.Exit{Reason: "there is no such machine"}, nil
	}
	select {
	case <-m.dead:
		return m.exit, nil
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
}

// Usage reads what SetUsage said.
func (h *Host) Usage(_ context.Context, id agentbay.SessionID) (runtime.Usage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.machines[id]
	if m == nil {
		return runtime.Usage{}, agentbay.Errorf(agentbay.NotFound, "machine %s is not there", id)
	}
	return m.usage, nil
}

// SetUsage sets a machine's counters.
func (h *Host) SetUsage(id agentbay.SessionID, u runtime.Usage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.machines[id].usage = u
}

// Specs returns what every machine was booted from.
func (h *Host) Specs() map[agentbay.SessionID]runtime.Spec {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[agentbay.SessionID]runtime.Spec{}
	for id, m := range h.machines {
		all[id] = m.spec
	}
	return all
}
