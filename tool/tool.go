// Package tool declares every tool once: its name, family, sentence, and typed
// input and output. What dispatches tools in a session, lists them to clients
// and calls them from an SDK is all derived from these declarations.
//
// A tool's answer is text, as in MCP. Where that text is JSON, the declaration's
// output type is its shape; where it is a format of its own, the output type is
// Text and the tool's comment states the format.
package tool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// A Tool is one named operation that can be performed inside a session.
type Tool struct {
	Name    string
	Family  Family
	Summary string          // one sentence, for people and models
	Input   json.RawMessage // JSON schema of the arguments, an object
	Streams bool            // can also be run as a stream of events
	Acts    bool            // does what a person does with mouse, keyboard and windows
}

// A Family is a group of tools that an image has together or not at all.
type Family string

// The families.
const (
	System  Family = "system" // what the session's machine is doing; answered by the host
	Shell   Family = "shell"
	Files   Family = "files"
	Code    Family = "code"
	Desktop Family = "desktop" // a screen with windows, mouse and keyboard
	Browser Family = "browser" // Chromium on that screen
)

// A Call names a tool and its arguments, a JSON object.
type Call struct {
	Name string
	Args json.RawMessage // nil means no arguments
}

// A Reply is a tool's answer as it streams in. Its Body is UTF-8 text, and must be closed.
type Reply struct {
	Failed bool // the tool ran and reports a failure; Body says which
	Body   io.ReadCloser
}

// A Result is a tool's whole answer.
type Result struct {
	Text   string
	Failed bool
}

// ErrTooLong is returned by [Reply.Result] when the answer is longer than allowed.
var ErrTooLong = errors.New("tool answer too long")

// Result reads the whole answer, at most max bytes, and closes the Reply.
func (r *Reply) Result(max int64) (Result, error) {
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, max+1))
	if err != nil {
		return Result{}, err
	}
	if int64(len(b)) > max {
		return Result{}, ErrTooLong
	}
	return Result{Text: string(b), Failed: r.Failed}, nil
}

// Text is the output type of tools whose answer is not JSON.
type Text string

// A Def is a tool with the types of its arguments and answer.
type Def[In, Out any] struct{ Tool }

// Call makes a call of the tool.
func (d Def[In, Out]) Call(in In) (Call, error) {
	args, err := json.Marshal(in)
	return Call{Name: d.Name, Args: args}, err
}

// Decode reads a call's arguments. What the tool requires must be there. Members
// it does not know are ignored, because clients of every age send what they
// always sent.
func (d Def[In, Out]) Decode(args json.RawMessage) (in In, err error) {
	if len(bytes.TrimSpace(args)) == 0 {
		args = json.RawMessage("{}")
	}
	if err := Unmarshal(args, &in); err != nil {
		return in, fmt.Errorf("arguments of %s: %w", d.Name, err)
	}
	if name := missing(reflect.ValueOf(in), args); name != "" {
		return in, fmt.Errorf("arguments of %s: %s is missing", d.Name, name)
	}
	return in, nil
}

// all is every tool, in order of declaration.
var all []Tool

// define declares a tool. Two tools of one name are a bug in this package.
func define[In, Out any](family Family, name, summary string) Def[In, Out] {
	if _, ok := Lookup(name); ok {
		panic("tool: two tools named " + name)
	}
	t := Tool{Name: name, Family: family, Summary: summary, Input: schemaOf[In]()}
	all = append(all, t)
	return Def[In, Out]{t}
}

// streaming declares a tool that can also be run as a stream of events.
func streaming[In, Out any](family Family, name, summary string) Def[In, Out] {
	d := define[In, Out](family, name, summary)
	d.Streams = true
	all[len(all)-1].Streams = true
	return d
}

// acting declares a tool that does what a person does at the screen. While a
// person does, it is refused.
func acting[In, Out any](family Family, name, summary string) Def[In, Out] {
	d := define[In, Out](family, name, summary)
	d.Acts = true
	all[len(all)-1].Acts = true
	return d
}

// All returns every tool there is.
func All() []Tool { return slices.Clone(all) }

// Of returns the tools of the given families.
func Of(families ...Family) []Tool {
	return slices.DeleteFunc(All(), func(t Tool) bool { return !slices.Contains(families, t.Family) })
}

// Lookup finds a tool by name.
func Lookup(name string) (Tool, bool) {
	i := slices.IndexFunc(all, func(t Tool) bool { return t.Name == name })
	if i < 0 {
		return Tool{}, false
	}
	return all[i], true
}
