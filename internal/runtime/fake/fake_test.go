package fake_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/runtime/runtimetest"
)

// testGuest is the suite's guest, as a handler.
func testGuest(s fake.Spec) (http.Handler, error) {
	if slices.Contains(s.Guest, runtimetest.Die) {
		return nil, errors.New(runtimetest.LastWords)
	}
	if slices.Contains(s.Guest, runtimetest.Hang) {
		<-s.Booting.Done()
		return nil, s.Booting.Err()
	}
	return runtimetest.Handler(s.Exit), nil
}

// The fake is a runtime.
func TestFakeIsRuntime(t *testing.T) {
	last := &fake.Runtime{Guest: testGuest}
	runtimetest.Run(t, runtimetest.Bench{
		Open: func() (runtime.Runtime, error) {
			last = last.Reopen()
			return last, nil
		},
		Abandon:  func(runtime.Runtime) {},
		Pretends: true,
		Spec: func(id agentbay.SessionID) runtime.Spec {
			return runtime.Spec{ID: id, Layers: []string{"/"}, Guest: []string{"guest"}}
		},
		Kill: func(rt runtime.Runtime, id agentbay.SessionID) error {
			return rt.(*fake.Runtime).Kill(id, "the guest was killed")
		},
	})
}

func TestFaultsAreHad(t *testing.T) {
	broken := errors.New("broken")
	rt := &fake.Runtime{Faults: fake.Faults{
		Start: func(s runtime.Spec) error {
			if s.ID == "bad" {
				return agentbay.Errorf(agentbay.Exhausted, "the host is full")
			}
			return nil
		},
		Stop: func(agentbay.SessionID) error { return broken },
		Dial: func(agentbay.SessionID) error { return broken },
	}}
	if err := rt.Start(t.Context(), runtime.Spec{ID: "bad"}); !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("Start: %v, want %v", err, agentbay.Exhausted)
	}
	if err := rt.Start(t.Context(), runtime.Spec{ID: "good"}); err != nil {
		t.Fatalf("Start: %v", err)
	}
	if _, err := rt.Dial(t.Context(), "good"); !errors.Is(err, broken) {
		t.Errorf("Dial: %v, want %v", err, broken)
	}
	if err := rt.Stop(t.Context(), "good"); !errors.Is(err, broken) {
		t.Errorf("Stop: %v, want %v", err, broken)
	}
	rt.Faults = fake.Faults{}
	if err := rt.Stop(t.Context(), "good"); err != nil {
		t.Errorf("Stop once the fault is gone: %v", err)
	}
}
