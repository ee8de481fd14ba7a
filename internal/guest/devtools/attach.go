package devtools

import (
	"context"
	"encoding/json"
	"sync"
)

// A Target is something of a browser that can be attached to.
type Target struct {
	ID   string `json:"targetId"`
	Type string `json:"type"` // such as page, iframe or worker
	URL  string `json:"url"`

	Waits bool `json:"-"` // it does nothing until it is told Runtime.runIfWaitingForDebugger
}

// Teller has a target do what it is told, in order. One that waits is not waited
// for: it does that first. Of another, each answer is, or it would go on to another
// document, in another process, before it has heard. Failures are not told of: of
// what targets of its kind do not know, and of one that is gone.
func (s Session) Teller(ctx context.Context, t Target) func(method string, params map[string]any) {
	return func(method string, params map[string]any) {
		if t.Waits {
			s.Tell(ctx, method, params)
		} else {
			s.Call(ctx, method, params, nil)
		}
	}
}

// An Attacher is told of targets, each in a goroutine of its own.
type Attacher struct {
	Types    []string                  // that are attached to; none means all
	Attached func(s Session, t Target) // must let a target go on that waits
	Detached func(s Session)           // may be nil; after it the session is forgotten
}

// Attach attaches to what a target has of others, now and later: a browser to its
// pages, a page to its frames of other sites and its workers. Those that come wait.
// It returns when Attached has for all that there are.
func (s Session) Attach(ctx context.Context, a Attacher) error {
	var mu sync.Mutex
	first := true              // until what there is has been named; guarded by mu
	var heeded []chan struct{} // closed when those have been; guarded by mu while first
	s.On(attached, func(params json.RawMessage) {
		var e struct {
			SessionID          string
			TargetInfo         Target
			WaitingForDebugger bool
		}
		if json.Unmarshal(params, &e) != nil {
			return
		}
		e.TargetInfo.Waits = e.WaitingForDebugger
		done := make(chan struct{})
		mu.Lock()
		defer mu.Unlock()
		if first {
			heeded = append(heeded, done)
		}
		go func() {
			defer close(done)
			a.Attached(s.Session(e.SessionID), e.TargetInfo)
		}()
	})
	s.On(detached, func(params json.RawMessage) {
		var e struct{ SessionID string }
		if json.Unmarshal(params, &e) == nil {
			go a.detached(s.Session(e.SessionID))
		}
	})
	// It tells of all there are before it returns.
	err := s.Call(ctx, "Target.setAutoAttach", a.params(), nil)
	mu.Lock()
	first = false
	mu.Unlock()
	for _, done := range heeded {
		<-done
	}
	return err
}

func (a Attacher) params() map[string]any {
	p := map[string]any{"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true}
	if len(a.Types) > 0 {
		var filter []any
		for _, t := range a.Types {
			filter = append(filter, map[string]any{"type": t})
		}
		p["filter"] = append(filter, map[string]any{"exclude": true})
	}
	return p
}

func (a Attacher) detached(s Session) {
	if a.Detached != nil {
		a.Detached(s)
	}
	s.Forget()
}
