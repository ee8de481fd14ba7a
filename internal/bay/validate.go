package bay

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
)

// Bounds of what callers send. Those of labels are part of the contract of
// [agentbay.Service].
const (
	maxLabels   = 100
	maxLabelKey = 128
	maxLabel    = 4096
	maxSDK      = 1024
)

// checkSpec fills in what a spec leaves open and refuses what is out of bounds.
func checkSpec(spec agentbay.SessionSpec) (agentbay.SessionSpec, error) {
	spec.Image = cmp.Or(spec.Image, agentbay.DefaultImage)
	spec.IdleTimeout = cmp.Or(spec.IdleTimeout, agentbay.DefaultIdleTimeout)
	if spec.IdleTimeout < 0 {
		return spec, agentbay.Errorf(agentbay.Invalid, "the idle timeout must not be negative, and is %s", seconds(spec.IdleTimeout))
	}
	switch spec.OnTakeOver {
	case "", agentbay.RefuseInput, agentbay.WaitForHandBack:
	default:
		return spec, agentbay.Errorf(agentbay.Invalid, "what happens to input when a person takes over is %s or %s, not %q",
			agentbay.RefuseInput, agentbay.WaitForHandBack, spec.OnTakeOver)
	}
	if len(spec.SDK) > maxSDK {
		spec.SDK = strings.ToValidUTF8(spec.SDK[:maxSDK], "")
	}
	return spec, checkLabels(spec.Labels)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return agentbay.Errorf(agentbay.Invalid, "a session can have %d labels, not %d", maxLabels, len(labels))
	}
	for key, value := range labels {
		if err := checkLabelText("key", key, maxLabelKey); err != nil {
			return err
		}
		if err := checkLabelText("value", value, maxLabel); err != nil {
			return err
		}
	}
	return nil
}

func checkLabelText(what, s string, most int) error {
	switch {
	case s == "":
		return agentbay.Errorf(agentbay.Invalid, "a label's %s must not be empty", what)
	case len(s) > most:
		return agentbay.Errorf(agentbay.Invalid, "a label's %s can have %d bytes, not %d", what, most, len(s))
	case strings.ContainsRune(s, 0) || !utf8.ValidString(s):
		return agentbay.Errorf(agentbay.Invalid, "a label's %s must be UTF-8 text without NUL", what)
	}
	return nil
}

// states are those a listing can ask for.
var states = map[agentbay.State]bool{
	"": true, agentbay.Starting: true, agentbay.Running: true, agentbay.Pausing: true, agentbay.Paused: true,
	agentbay.Resuming: true, agentbay.Deleting: true, agentbay.Finished: true,
}

func checkQuery(q agentbay.SessionQuery) error {
	switch {
	case len(q.Labels) > maxLabels:
		return agentbay.Errorf(agentbay.Invalid, "a listing can ask for %d labels, not %d", maxLabels, len(q.Labels))
	case !states[q.State]:
		return agentbay.Errorf(agentbay.Invalid, "there is no session state %q", shorten(string(q.State)))
	case q.Limit < 0:
		return agentbay.Errorf(agentbay.Invalid, "a page cannot have %d sessions", q.Limit)
	}
	return nil
}
