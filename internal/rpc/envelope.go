package rpc

import (
	"errors"
	"net/http"

	"github.com/agentbay/agentbay"
)

// An envelope is around every answer to an action. Each field is always there,
// except Data where the action has none and page where it lists nothing.
type envelope struct {
	RequestID string `json:"RequestId"`
	Success   bool   `json:"Success"`
	Code      string `json:"Code"`
	Message   string `json:"Message"`
	Status    int    `json:"HttpStatusCode"`
	*page
	Data any `json:"Data,omitempty"`
}

// A page stands beside the Data of an action that lists.
type page struct {
	TotalCount int    `json:"TotalCount"`
	MaxResults int    `json:"MaxResults"`
	NextToken  string `json:"NextToken"`
	Count      *int   `json:"Count,omitempty"` // TotalCount, where clients look for it by this name
}

// codeOK is the Code of success, by the letter.
const codeOK = "ok"

// A row is how one Code looks on the wire.
type row struct {
	status int // of an action
	link   int // of a link call
	code   string
}

// codes is how each Code looks to an SDK. The strings are load-bearing: SDKs
// search what they show of an error for "NotFound" and "not found".
var codes = map[agentbay.Code]row{
	agentbay.Invalid:     {http.StatusBadRequest, http.StatusBadRequest, "InvalidParameter"},
	agentbay.Denied:      {http.StatusBadRequest, http.StatusForbidden, "NOT_LOGIN"},
	agentbay.NotFound:    {http.StatusBadRequest, http.StatusNotFound, "InvalidMcpSession.NotFound"},
	agentbay.Conflict:    {http.StatusConflict, http.StatusConflict, "OperationConflict"},
	agentbay.Exhausted:   {http.StatusTooManyRequests, http.StatusTooManyRequests, "QuotaExceeded"},
	agentbay.Unavailable: {http.StatusServiceUnavailable, http.StatusServiceUnavailable, "ServiceUnavailable"},
	agentbay.Internal:    {http.StatusInternalServerError, http.StatusInternalServerError, "InternalError"},
}

// A wireError is an error with a code on the wire that is not its Code's.
type wireError struct {
	error
	code string
}

func (e *wireError) Unwrap() error { return e.error }

// coded gives a refusal a wire code of its own.
func coded(code string, err error) error { return &wireError{err, code} }

// rowOf is how err looks on the wire.
func rowOf(err error) row {
	r := codes[agentbay.CodeOf(err)]
	var w *wireError
	if errors.As(err, &w) {
		r.code = w.code
	}
	return r
}

// failWith answers an action with err.
func (x *exchange) failWith(err error) {
	if x.gone(err) {
		x.fail(statusGone, "ClientClosedRequest", "the client closed its side before the answer was there", err)
		return
	}
	r := rowOf(err)
	x.fail(r.status, r.code, agentbay.MessageOf(err), err)
}

// statusGone is told, mostly to the log, where the client left before its answer.
const statusGone = 499

// gone reports whether err came about because the client has left, which stops
// what it asked for. What is wrong with the request itself is wrong all the same.
func (x *exchange) gone(err error) bool {
	return x.r.Context().Err() != nil && agentbay.CodeOf(err) != agentbay.Invalid
}

// fail answers with a failure. The cause goes to the log only.
func (x *exchange) fail(status int, code, message string, cause error) {
	x.code, x.cause = code, cause
	x.json(status, envelope{RequestID: x.id, Code: code, Message: message, Status: status})
}
