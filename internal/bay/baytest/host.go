package baytest

import (
	"context"
	"net/http"
	"sync"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
)

// A Host is a fake runtime that remembers what it booted.
type Host struct {
	*fake.Runtime

	mu    sync.Mutex
	specs map[agentbay.SessionID]runtime.Spec // guarded by mu
}

// NewHost makes a host whose machines will run [Guest].
func NewHost() *Host {
	return &Host{
		Runtime: &fake.Runtime{Guest: func(s fake.Spec) (http.Handler, error) { return Guest(s.Spec), nil }},
		specs:   map[agentbay.SessionID]runtime.Spec{},
	}
}

// Start boots a machine.
func (h *Host) Start(ctx context.Context, spec runtime.Spec) error {
	h.mu.Lock()
	h.specs[spec.ID] = spec
	h.mu.Unlock()
	return h.Runtime.Start(ctx, spec)
}

// Specs returns what every machine was booted from of which something is left.
func (h *Host) Specs() map[agentbay.SessionID]runtime.Spec {
	left, _ := h.List(context.Background()) // of a fake, it does not fail
	h.mu.Lock()
	defer h.mu.Unlock()
	specs := map[agentbay.SessionID]runtime.Spec{}
	for _, m := range left {
		specs[m.ID] = h.specs[m.ID]
	}
	return specs
}

// StopAll ends every machine, whatever the faults.
func (h *Host) StopAll() {
	h.SetFaults(fake.Faults{})
	for id := range h.Specs() {
		h.Stop(context.Background(), id)
	}
}
