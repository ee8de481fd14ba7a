package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// maxChunk bounds the output in one frame; escaped it is at most six times as long.
const maxChunk = maxFrameOut / 8

// An event is one event of a run, or its end.
type event struct {
	Phase string         `json:"phase"`
	Seq   int            `json:"seq"`
	Type  string         `json:"eventType,omitempty"`
	Chunk string         `json:"chunk,omitempty"`
	Value map[string]any `json:"result,omitempty"`
	Error *runError      `json:"error,omitempty"`

	// Of the end only.
	Count  *int     `json:"executionCount,omitempty"`
	Took   *float64 `json:"executionTime,omitempty"`
	Failed string   `json:"executionError,omitempty"`
	Status string   `json:"status,omitempty"`
}

// A runError is what was wrong with the code.
type runError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	TraceID string `json:"traceId"`
}

// runCode runs code as a stream.
func (k *socket) runCode(ctx context.Context, f frame, params json.RawMessage) error {
	var in struct {
		Language string  `json:"language"`
		TimeoutS float64 `json:"timeoutS"`
		Code     string  `json:"code"`
	}
	if err := json.Unmarshal(params, &in); err != nil {
		return agentbay.Wrap(err, agentbay.Invalid, "the parameters of run_code are not what they should be: %s", jsonProblem(err))
	}
	c, err := tool.RunCode.Call(tool.RunCodeIn{Code: in.Code, Language: in.Language, TimeoutS: in.TimeoutS})
	if err != nil {
		return agentbay.Wrap(err, agentbay.Invalid, "the parameters of run_code are not JSON")
	}
	_, err = k.start(ctx, f, "run_code", c, func(ctx context.Context, inv *invocation) error { return inv.run(ctx) })
	return err
}

// run passes on the events of a run of code.
func (inv *invocation) run(ctx context.Context) error {
	var over, told bool // the end has come; an error has been told
	err := inv.k.bay.StreamTool(ctx, inv.k.id, inv.call, func(b []byte) error {
		var e tool.CodeEvent
		if err := json.Unmarshal(b, &e); err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "the session sent an event that is not one")
		}
		over = over || e.Type == "end"
		for _, out := range eventsOf(e, told) {
			told = told || out.Error != nil
			if err := inv.event(ctx, out); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !over {
		err = agentbay.Errorf(agentbay.Unavailable, "the run broke off; the interpreter may have ended")
	}
	return err
}

// event sends the next event.
func (inv *invocation) event(ctx context.Context, e event) error {
	inv.seq++
	e.Seq = inv.seq
	return inv.reply(ctx, e)
}

// eventsOf is a tool's event in the words of the wire. told says that the run's
// error has been told before its end.
func eventsOf(e tool.CodeEvent, told bool) (out []event) {
	switch e.Type {
	case "stdout", "stderr":
		for _, chunk := range pieces(e.Chunk, maxChunk) {
			out = append(out, event{Phase: "event", Type: e.Type, Chunk: chunk})
		}
	case "result":
		out = append(out, event{Phase: "event", Type: e.Type, Value: valueOf(e.Result)})
	case "error":
		failure := &runError{Code: "ExecutionError", Message: clipTo(e.Chunk, maxChunk)}
		if e.End != nil {
			failure = errorOf(e.End)
		}
		out = append(out, event{Phase: "event", Type: e.Type, Error: failure})
	case "end":
		end := e.End
		if end == nil {
			end = &tool.RunCodeOut{}
		}
		if end.ExecutionError != "" && !told {
			out = append(out, event{Phase: "event", Type: "error", Error: errorOf(end)})
		}
		out = append(out, endOf(end))
	}
	return out
}

func errorOf(end *tool.RunCodeOut) *runError {
	code := end.ErrorName
	if code == "" {
		code = "ExecutionError"
	}
	return &runError{
		Code:    clipTo(code, 1024),
		Message: clipTo(end.ExecutionError, maxChunk),
		TraceID: clipTo(end.TraceID, 1024),
	}
}

func endOf(end *tool.RunCodeOut) event {
	status := "finished"
	if end.ExecutionError != "" {
		status = "failed"
	}
	return event{
		Phase:  "end",
		Count:  &end.ExecutionCount,
		Took:   &end.ExecutionTime,
		Failed: clipTo(end.ExecutionError, maxChunk),
		Status: status,
	}
}

// pieces cuts s into pieces of at most n bytes, between characters.
func pieces(s string, n int) (out []string) {
	for len(s) > n {
		cut := len(clipTo(s, n))
		out, s = append(out, s[:cut]), s[cut:]
	}
	if s != "" {
		out = append(out, s)
	}
	return out
}

// clipTo is the beginning of s, at most n bytes, in whole characters.
func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := range utf8.UTFMax {
		if utf8.RuneStart(s[n-back]) {
			return s[:n-back]
		}
	}
	return s[:n]
}

// valueOf is a result as all clients read it: some look for MIME types beside
// isMainResult, some in mime. What would not fit a frame gives way to a note.
func valueOf(result map[string]any) map[string]any {
	mime := map[string]any{}
	maps.Copy(mime, result)
	delete(mime, "isMainResult")
	delete(mime, "mime")
	sizes := map[string]int{}
	total := 0
	for kind, v := range mime {
		sizes[kind] = 2 * (len(kind) + len(encode(v)) + 8)
		total += sizes[kind]
	}
	const room = maxFrameOut - 16<<10 // the rest of the frame, and notes
	bySize := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int { return sizes[b] - sizes[a] })
	for _, kind := range bySize {
		if total <= room {
			break
		}
		total -= sizes[kind]
		delete(mime, kind)
		if _, ok := mime["text/plain"]; !ok {
			mime["text/plain"] = fmt.Sprintf("[%s of %d bytes is too large to stream; run the code without streaming to get it]", kind, sizes[kind]/2)
		}
	}
	out := maps.Clone(mime)
	out["isMainResult"], out["mime"] = result["isMainResult"] == true, mime
	return out
}

// A watch is what is said of files.
type watchParams struct {
	Path string `json:"path"`
}

func (p *watchParams) read(params json.RawMessage) error {
	if err := json.Unmarshal(params, p); err != nil || p.Path == "" {
		return agentbay.Wrap(fmt.Errorf("path %q: %w", p.Path, err), agentbay.Invalid, "the parameters have no path")
	}
	return nil
}

// subscribe pushes changes below a path from now on. Who subscribes again on the
// same socket gets a new subscription for the old one.
func (k *socket) subscribe(ctx context.Context, f frame, params json.RawMessage) error {
	var p watchParams
	if err := p.read(params); err != nil {
		return err
	}
	c, err := tool.FileChange.Call(tool.PathIn{Path: p.Path})
	if err != nil {
		return agentbay.Wrap(err, agentbay.Invalid, "the path is not text")
	}
	k.mu.Lock()
	old := k.watches[p.Path]
	k.mu.Unlock()
	inv, err := k.start(ctx, f, "subscribe_file_change", c, func(ctx context.Context, inv *invocation) error {
		if old != nil {
			old.cancel()
			<-old.done // so that no change goes to who no longer listens
		}
		return inv.watch(ctx, p.Path)
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watches[p.Path] = inv
	return nil
}

// rewatch is how long to wait before a subscription that broke off is renewed.
const rewatch = time.Second

// watch pushes changes until it is cancelled. A stream that breaks off later is
// begun again, for the guest keeps what it has not delivered.
func (inv *invocation) watch(ctx context.Context, path string) error {
	live := false
	for {
		err := inv.k.bay.StreamTool(ctx, inv.k.id, inv.call, func(b []byte) error {
			var changes []tool.FileEvent
			if err := json.Unmarshal(b, &changes); err != nil {
				return agentbay.Wrap(err, agentbay.Unavailable, "the session sent changes that are none")
			}
			if !live {
				live = true
				if err := inv.reply(ctx, event{Phase: "end", Seq: 1}); err != nil {
					return err
				}
			}
			return inv.push(ctx, path, changes)
		})
		if !live && err == nil {
			err = agentbay.Errorf(agentbay.Unavailable, "the subscription ended at once")
		}
		if !live {
			return err
		}
		if ctx.Err() != nil || agentbay.CodeOf(err) == agentbay.NotFound {
			return nil // the subscription was answered; there is nobody to tell
		}
		select {
		case <-ctx.Done():
		case <-time.After(rewatch):
		}
	}
}

// A changePush tells of changes nobody asked for at the moment.
type changePush struct {
	Type   string           `json:"eventType"`
	Path   string           `json:"path"` // as subscribed, by the byte
	Events []tool.FileEvent `json:"events"`
}

// push sends changes, in as many frames as they need.
func (inv *invocation) push(ctx context.Context, path string, changes []tool.FileEvent) error {
	if len(changes) == 0 {
		return nil
	}
	f := frame{
		ID:     gate.NewRequestID(),
		Source: inv.Target,
		Target: client,
		Data:   encode(changePush{"file_change", path, changes}),
	}
	if half := len(changes) / 2; half > 0 && len(f.Data) > maxFrameOut-1024 {
		if err := inv.push(ctx, path, changes[:half]); err != nil {
			return err
		}
		return inv.push(ctx, path, changes[half:])
	}
	return inv.k.send(ctx, f)
}

// unsubscribe ends a subscription. Nothing is answered, because nobody waits.
func (k *socket) unsubscribe(_ context.Context, _ frame, params json.RawMessage) error {
	var p watchParams
	if err := p.read(params); err != nil {
		return err
	}
	k.mu.Lock()
	inv := k.watches[p.Path]
	delete(k.watches, p.Path)
	k.mu.Unlock()
	if inv != nil {
		inv.cancel()
	}
	return nil
}
