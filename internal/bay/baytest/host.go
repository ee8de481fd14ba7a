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
	Guest func(runtime.Spec) http.Handler // what answers in a machine; Guest unless a test has another

	mu    sync.Mutex
	specs map[agentbay.SessionID]runtime.Spec // guarded by mu
}

// NewHost makes a host without machines.
func NewHost() *Host {
	h := &Host{Guest: Guest, specs: map[agentbay.SessionID]runtime.Spec{}}
	h.Runtime = &fake.Runtime{Guest: func(s fake.Spec) (http.Handler, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.specs[s.ID] = s.Spec
		return h.Guest(s.Spec), nil
	}}
	return h
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
