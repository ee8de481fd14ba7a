package store

import (
	"errors"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

func TestIncomingIsExpectedUntilItExpires(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
	must(t, s.AddContext(ctx, newContext(2, "ak-1")))
	now := time.Unix(1000, 0).UTC()
	soon := Incoming{Name: "ak-1/incoming/soon", Context: "SdkCtx-1", Path: "tmp/\xff", Expires: now}
	later := Incoming{Name: "ak-1/incoming/later", Context: "SdkCtx-1", Path: "tmp/b", Expires: now.Add(time.Second)}
	must(t, s.AddIncoming(ctx, soon))
	must(t, s.AddIncoming(ctx, later))
	if got, err := s.Incoming(ctx, soon.Name); err != nil || got != soon {
		t.Errorf("Incoming: %+v, %v; want %+v", got, err, soon)
	}
	must(t, s.ForgetIncoming(ctx, "SdkCtx-2", now))
	must(t, s.ForgetIncoming(ctx, "SdkCtx-1", now.Add(-1)))
	if _, err := s.Incoming(ctx, soon.Name); err != nil {
		t.Errorf("Incoming before it expires: %v", err)
	}
	must(t, s.ForgetIncoming(ctx, "SdkCtx-1", now))
	if _, err := s.Incoming(ctx, soon.Name); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Incoming that expired: %v, want NotFound", err)
	}
	for id, want := range map[agentbay.ContextID]bool{"SdkCtx-1": true, "SdkCtx-2": false, "SdkCtx-3": false} {
		if got, err := s.Expects(ctx, id); err != nil || got != want {
			t.Errorf("Expects(%s): %t, %v, want %t", id, got, err, want)
		}
	}
}

func TestIncomingEndsWithItsContext(t *testing.T) {
	s, ctx := open(t, Memory), t.Context()
	in := Incoming{Name: "ak-1/incoming/a", Context: "SdkCtx-1", Path: "a", Expires: time.Unix(1000, 0)}
	if err := s.AddIncoming(ctx, in); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("AddIncoming for no context: %v, want NotFound", err)
	}
	must(t, s.AddContext(ctx, newContext(1, "ak-1")))
	must(t, s.AddIncoming(ctx, in))
	must(t, s.DeleteContext(ctx, in.Context))
	if _, err := s.Incoming(ctx, in.Name); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("Incoming of a context that is gone: %v, want NotFound", err)
	}
}
