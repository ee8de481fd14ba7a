package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// tokenHeader carries a session's token.
const tokenHeader = "X-Access-Token"

// maxUnproved bounds the body of who has not shown a token in the header.
const maxUnproved = 1 << 20

// A linkCall is one tool call sent over a session's link. The server's name is
// sent as well and says nothing that the tool's does not.
type linkCall struct {
	Tool      string
	Args      json.RawMessage // checked by who decodes them
	RequestID string
	Token     string
}

// A linkAnswer is what a link says of a call. A result streams between its
// fields; see answerCall.
type linkAnswer struct {
	Code      string `json:"code"` // "200" on success
	Success   bool   `json:"success"`
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
}

// errNoToken is the one refusal a link has that actions do not.
var errNoToken = errors.New("no token")

func noToken() error {
	return agentbay.Wrap(errNoToken, agentbay.Denied, "no token was given; send the session's token in the header %s", tokenHeader)
}

// serveLink lets in who has the session's token, and has perform answer.
func (d *Door) serveLink(x *exchange, perform func(*exchange, agentbay.Service, tool.Call) error) {
	if x.r.Method != http.MethodPost {
		x.Header().Set("Allow", http.MethodPost)
		x.refuseCall(http.StatusMethodNotAllowed, "MethodNotAllowed", "a tool call is a POST", nil)
		return
	}
	if err := d.enterLink(x, perform); err != nil {
		x.failCall(err)
	}
}

func (d *Door) enterLink(x *exchange, perform func(*exchange, agentbay.Service, tool.Call) error) error {
	ctx, id := x.r.Context(), agentbay.SessionID(x.session)
	token := x.r.Header.Get(tokenHeader)
	var bay agentbay.Service
	max := int64(maxUnproved)
	if token != "" {
		var err error
		if bay, err = d.Bay.Token(ctx, id, token); err != nil {
			return err
		}
		max = d.MaxCall
	}
	body, done, err := d.readBody(x, max)
	if err != nil {
		return err
	}
	defer done()
	in, err := parseCall(body)
	x.client = in.RequestID
	if err != nil {
		return err
	}
	if bay == nil && in.Token == "" {
		return noToken()
	}
	if bay == nil {
		if bay, err = d.Bay.Token(ctx, id, in.Token); err != nil {
			return err
		}
	}
	return perform(x, bay, tool.Call{Name: in.Tool, Args: in.Args})
}

// parseCall reads the body of a link call. The arguments are a piece of it.
func parseCall(body []byte) (in linkCall, err error) {
	err = eachMember(body, func(name string, value []byte) error {
		switch name {
		case "tool":
			return json.Unmarshal(value, &in.Tool)
		case "requestId":
			return json.Unmarshal(value, &in.RequestID)
		case "token":
			return json.Unmarshal(value, &in.Token)
		case "args":
			in.Args = value
		}
		return nil
	})
	if err != nil {
		return in, agentbay.Wrap(err, agentbay.Invalid, "the body is not the JSON of a tool call: %s", jsonProblem(err))
	}
	if in.Tool == "" {
		return in, agentbay.Errorf(agentbay.Invalid, "the call names no tool")
	}
	in.Args, err = objectOf(in.Args)
	return in, err
}

// answerCall runs a tool and sends its whole answer.
func (d *Door) answerCall(x *exchange, bay agentbay.Service, c tool.Call) error {
	reply, err := run(x.r.Context(), bay, d.originOf(x.r), agentbay.SessionID(x.session), c)
	if err != nil {
		return ended(err)
	}
	head := encode(linkAnswer{Code: "200", Success: true, RequestID: x.id})
	head = append(head[:len(head)-1], `,"data":{"result":`...)
	return x.stream(head, reply, "}}")
}

// errEnded marks a session that was there, since its token was right.
var errEnded = errors.New("the session has ended")

func ended(err error) error {
	if agentbay.CodeOf(err) != agentbay.NotFound {
		return err
	}
	return agentbay.Wrap(errors.Join(errEnded, err), agentbay.NotFound, "%s", agentbay.MessageOf(err))
}

// failCall answers a call that was not made.
func (x *exchange) failCall(err error) {
	if x.gone(err) {
		x.refuseCall(statusGone, "ClientClosedRequest", "the client closed its side before the answer was there", err)
		return
	}
	x.refuseCall(linkStatus(err), rowOf(err).code, agentbay.MessageOf(err), err)
}

// linkStatus is the HTTP status of a refusal that has no action's envelope.
func linkStatus(err error) int {
	switch {
	case errors.Is(err, errNoToken):
		return http.StatusUnauthorized
	case errors.Is(err, errEnded):
		return http.StatusGone
	}
	return rowOf(err).link
}

func (x *exchange) refuseCall(status int, code, message string, cause error) {
	x.code, x.cause = code, cause
	x.json(status, linkAnswer{Code: code, Message: message, RequestID: x.id})
}

// answerStream runs a tool and sends its events as they come.
func (d *Door) answerStream(x *exchange, bay agentbay.Service, c tool.Call) error {
	rc := http.NewResponseController(x.ResponseWriter)
	send := func(line []byte) error {
		if x.status == 0 {
			x.Header().Set("Content-Type", "application/x-ndjson")
		}
		if _, err := x.Write(append(line, '\n')); err != nil {
			return err
		}
		return rc.Flush()
	}
	err := bay.StreamTool(x.r.Context(), agentbay.SessionID(x.session), c, func(event []byte) error {
		if !json.Valid(event) {
			return agentbay.Errorf(agentbay.Unavailable, "the session sent an event that is not JSON")
		}
		return send(bytes.Clone(event))
	})
	if err == nil {
		return nil
	}
	if x.status == 0 {
		return ended(err)
	}
	x.code, x.cause = rowOf(err).code, err
	_ = send(encode(errorLine{failure{agentbay.CodeOf(err), agentbay.MessageOf(err), x.id}})) // the client may be why it ended
	return nil
}

// An errorLine is the last line of a stream that failed.
type errorLine struct {
	Error failure `json:"error"`
}

type failure struct {
	Code      agentbay.Code `json:"code"`
	Message   string        `json:"message"`
	RequestID string        `json:"requestId"`
}
