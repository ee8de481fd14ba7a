package agentbay

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A CodeResult is what a piece of code did.
type CodeResult struct {
	Results []CodeValue
	Stdout  string
	Stderr  string
	Count   int           // the interpreter's count of runs
	Took    time.Duration // as the interpreter measured it
}

// A CodeValue is one value that code displayed or that it ended in, in one or
// more representations.
type CodeValue struct {
	Main bool           // the value of the last expression
	MIME map[string]any // MIME type → text, base64 of an image, or a JSON value
}

// Text returns the value as plain text, if it has that representation.
func (v CodeValue) Text() string {
	s, _ := v.MIME["text/plain"].(string)
	return s
}

// Text returns the main value as plain text, else the first value, else what
// the code printed.
func (r *CodeResult) Text() string {
	for _, v := range r.Results {
		if v.Main {
			return v.Text()
		}
	}
	if len(r.Results) > 0 {
		return r.Results[0].Text()
	}
	return r.Stdout
}

// A CodeError is the report of code that ran and failed.
type CodeError struct {
	Name      string // the exception's class, such as "ZeroDivisionError"
	Message   string // "Name: message"
	Traceback string
}

func (e *CodeError) Error() string { return e.Message }

// A CodeOption changes how [Session.RunCode] runs code.
type CodeOption func(*codeRun)

type codeRun struct {
	in      tool.RunCodeIn
	onEvent func(tool.CodeEvent)
}

// CodeTimeout interrupts the code after d. The default is 60 seconds.
func CodeTimeout(d time.Duration) CodeOption { return func(r *codeRun) { r.in.TimeoutS = d.Seconds() } }

// OnCodeEvent has f called with output and values as they come.
func OnCodeEvent(f func(tool.CodeEvent)) CodeOption { return func(r *codeRun) { r.onEvent = f } }

// RunCode runs code in the session's interpreter of a language: python,
// javascript, r or java. Variables and functions live on in the session. Code
// that ran and failed is a [*CodeError], beside the result up to there.
func (s *Session) RunCode(ctx context.Context, language, code string, opts ...CodeOption) (*CodeResult, error) {
	run := codeRun{in: tool.RunCodeIn{Code: code, Language: language}}
	for _, opt := range opts {
		opt(&run)
	}
	if run.onEvent != nil {
		return s.streamCode(ctx, run)
	}
	r, err := resultOf(ctx, s.service, s.ID, tool.RunCode, run.in)
	if err != nil {
		return nil, err
	}
	var out tool.RunCodeOut
	if json.Unmarshal([]byte(r.Text), &out) != nil {
		return nil, Errorf(Invalid, "run_code: %s", r.Text)
	}
	return codeResult(out)
}

// codeResult reads a run's answer.
func codeResult(out tool.RunCodeOut) (*CodeResult, error) {
	r := &CodeResult{
		Stdout: strings.Join(out.Stdout, ""),
		Stderr: strings.Join(out.Stderr, ""),
	}
	for _, text := range out.Result {
		var mime map[string]any
		if err := json.Unmarshal([]byte(text), &mime); err != nil {
			return nil, Wrap(err, Internal, "a value of run_code is no JSON object")
		}
		r.Results = append(r.Results, codeValue(mime))
	}
	return r, r.end(out)
}

// end adds to r what is known once the run is over.
func (r *CodeResult) end(out tool.RunCodeOut) error {
	r.Count = out.ExecutionCount
	r.Took = time.Duration(out.ExecutionTime * float64(time.Second))
	if out.ExecutionError == "" {
		return nil
	}
	return &CodeError{Name: out.ErrorName, Message: out.ExecutionError, Traceback: out.Traceback}
}

func codeValue(mime map[string]any) CodeValue {
	isMain, _ := mime["isMainResult"].(bool)
	delete(mime, "isMainResult")
	return CodeValue{Main: isMain, MIME: mime}
}

// streamCode runs code as a stream and gathers its events.
func (s *Session) streamCode(ctx context.Context, run codeRun) (*CodeResult, error) {
	call, err := tool.RunCode.Call(run.in)
	if err != nil {
		return nil, Wrap(err, Invalid, "the arguments of run_code are not JSON")
	}
	r, ended := &CodeResult{}, false
	var failure error
	err = s.service.StreamTool(ctx, s.ID, call, func(b []byte) error {
		var e tool.CodeEvent
		if err := json.Unmarshal(b, &e); err != nil {
			return Wrap(err, Internal, "an event of run_code has another shape than expected")
		}
		run.onEvent(e)
		if e.End != nil {
			ended, failure = true, r.end(*e.End)
		}
		r.add(e)
		return nil
	})
	if err != nil {
		return r, err
	}
	if !ended {
		return r, Errorf(Unavailable, "the run ended without a result; the session may have ended")
	}
	return r, failure
}

func (r *CodeResult) add(e tool.CodeEvent) {
	switch e.Type {
	case "stdout":
		r.Stdout += e.Chunk
	case "stderr":
		r.Stderr += e.Chunk
	case "result":
		r.Results = append(r.Results, codeValue(e.Result))
	}
}
