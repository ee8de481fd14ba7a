package agentbay

import (
	"errors"
	"fmt"
)

// A Code says what the caller of a failed operation can do about it.
// Test for one with errors.Is(err, agentbay.NotFound).
type Code string

// The codes. Everything a bay refuses has exactly one.
const (
	Invalid     Code = "invalid"     // change the request
	Denied      Code = "denied"      // use other credentials
	NotFound    Code = "not_found"   // look the name up again
	Conflict    Code = "conflict"    // change the state of the thing first
	Exhausted   Code = "exhausted"   // free something, or raise the limit
	Unavailable Code = "unavailable" // try again
	Internal    Code = "internal"    // report a bug
)

// Codes is every Code, for tables that must be complete.
var Codes = []Code{Invalid, Denied, NotFound, Conflict, Exhausted, Unavailable, Internal}

// Error makes a Code a target for errors.Is.
func (c Code) Error() string { return string(c) }

// An Error is a refused or failed operation. Message is written for the caller
// and says what to do next; the wrapped cause is for the server's log and is
// never sent to a client.
type Error struct {
	Code      Code
	Message   string
	RequestID string // the call's name in the server's log; empty on the server itself
	cause     error
}

func (e *Error) Error() string {
	s := e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	if e.RequestID != "" {
		s += " (request ID " + e.RequestID + ")"
	}
	return s
}

// Is reports whether target is e's Code.
func (e *Error) Is(target error) bool { return target == error(e.Code) }

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error with a message for the caller.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error of a cause. The message is for the caller, the cause for
// the log. Wrapping nil gives nil.
func Wrap(cause error, code Code, format string, args ...any) error {
	if cause == nil {
		return nil
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// CodeOf returns the Code of err: the outermost Error's, else Internal.
// CodeOf(nil) is the empty Code.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// MessageOf returns what a caller may be told about err: the outermost Error's
// Message, else a sentence without detail.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "internal error; the server's log has more under this request ID"
}
