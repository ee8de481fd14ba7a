package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// # Calls for a person
//
// What the people at a session's screen are asked for is also pushed to its
// WebSockets, and may be answered there: whoever runs the agent may have other ways
// to reach somebody.

// A notice is a call for a person, or an answer to one.
type notice struct {
	Type    string       `json:"type"`
	ID      int          `json:"id"` // of the call; an answer has the same
	Code    int          `json:"code"`
	Message string       `json:"message"`
	Action  string       `json:"action"`
	Extra   noticeParams `json:"extraParams"`
}

type noticeParams struct {
	Wait float64 `json:"max_wait_time,omitempty"` // in seconds; none if it is not known
}

// What notices say.
const (
	noticeType = "call-for-user" // the type of all of them
	actionCall = "takeover"
	actionDone = "takeoverdone"
	codeDone   = 199
)

// helpCodes is the codes of calls. What is neither login nor payment has the code
// of captchas, which the wire has stand for all else, too.
var helpCodes = map[agentbay.HelpKind]int{
	agentbay.HelpOther: 101, agentbay.HelpCaptcha: 101, agentbay.HelpLogin: 102, agentbay.HelpPayment: 103,
}

// helpPrefix is how IDs of requests for help begin; the wire has the number after it.
const helpPrefix = "help-"

// noticeOf is how a request for help, or its end, is told.
func noticeOf(h agentbay.Help) (notice, error) {
	id, err := strconv.Atoi(strings.TrimPrefix(h.ID, helpPrefix))
	if err != nil {
		return notice{}, fmt.Errorf("the ID %q of a request for help has no number", h.ID)
	}
	if h.State == agentbay.HelpDone {
		return notice{Type: noticeType, ID: id, Code: codeDone, Message: "user handle done", Action: actionDone}, nil
	}
	return notice{
		Type: noticeType, ID: id, Code: helpCodes[h.Kind], Message: h.Message, Action: actionCall, Extra: noticeParams{h.Wait.Round(1e6).Seconds()},
	}, nil
}

// callForUser pushes a request for help, or that it is done.
func (k *socket) callForUser(h agentbay.Help) {
	n, err := noticeOf(h)
	if err != nil {
		k.door.Log.Error("a call for a person was not told", "session", k.id, "error", err)
		return
	}
	from := servers[tool.Browser]
	// To a client that is gone nothing can be said.
	_ = k.send(context.Background(), frame{ID: gate.NewRequestID(), Source: from, Target: from, Data: encode(n)})
}

// takeOverDone reports whether a frame is a notice, and acts on it: a client says
// that a person has done what was asked for. Notices are not answered.
func (k *socket) takeOverDone(ctx context.Context, f frame) bool {
	var n struct {
		Type   string `json:"type"`
		ID     int    `json:"id"`
		Action string `json:"action"`
	}
	if f.Target != servers[tool.Browser] || json.Unmarshal(f.Data, &n) != nil || n.Type != noticeType {
		return false
	}
	if n.Action != actionDone {
		return true
	}
	if err := k.bay.AnswerHelp(ctx, k.id, helpPrefix+strconv.Itoa(n.ID), ""); err != nil {
		k.door.Log.Warn("an answer to a call for a person was not taken", "session", k.id, "id", n.ID, "error", gate.Scrub(err.Error()))
	}
	return true
}
