package baytest

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
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
	h := &Host{specs: map[agentbay.SessionID]runtime.Spec{}}
	h.Runtime = &fake.Runtime{Guest: func(s fake.Spec) (http.Handler, error) { return Guest(s.Spec, h), nil }}
	return h
}

// places returns where on this host a path of a machine's mounts is: first where
// it would be written, then in each layer. It is empty for other paths.
func (h *Host) places(id agentbay.SessionID, path string) (all []string) {
	for _, m := range slices.Backward(h.Mounts(id)) {
		rel, ok := strings.CutPrefix(path, m.Target+"/")
		if !ok {
			continue
		}
		written, err := h.Written(context.Background(), id, m.Name)
		if err != nil {
			return nil
		}
		defer written.Close()
		for _, dir := range append([]string{written.Upper}, m.Layers...) {
			all = append(all, filepath.Join(dir, rel))
		}
		return all
	}
	return nil
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
