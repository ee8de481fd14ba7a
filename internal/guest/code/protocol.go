package code

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A kernel process is a runner, one of the programs in images/code/runners. It
// reads requests on descriptor 3 and writes messages on descriptor 4, each one
// JSON object a line:
//
//	→ {"code":"…"}            run this; only sent after ready or end
//	→ {"interrupt":true}      end what runs, if anything does (or SIGINT)
//	← {"ready":true}          once
//	← {"result":{MIME:…},"main":true}   a value or something displayed
//	← {"error":{"name":"…","message":"…","traceback":"…"}}   at most once a run
//	← {"end":true}            the run has ended
//
// Output is no message: it is what arrives in the pipes on descriptors 1 and 2
// before the message that follows it. A runner therefore flushes its streams
// before each message, and whatever wrote to the pipes earlier, the runner or
// something it started, is in them by then.
//
// Code can reach these descriptors and say what it likes: all that is read is
// bounded and checked, and what does not follow the rules ends the process.

// maxLine bounds one message, in bytes.
const maxLine = 32 << 20

// The bounds of what one result holds.
const (
	maxTypes    = 32  // MIME types
	maxTypeName = 128 // bytes of a MIME type's name
)

// A message is what a runner says. Exactly one of its fields but Main is set.
type message struct {
	Ready  bool                       `json:"ready"`
	Result map[string]json.RawMessage `json:"result"`
	Main   bool                       `json:"main"`
	Error  *failure                   `json:"error"`
	End    bool                       `json:"end"`
}

// A failure is what went wrong in a run.
type failure struct {
	Name      string `json:"name"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

// String is the failure in one line, class first.
func (f *failure) String() string {
	if f.Message == "" {
		return f.Name
	}
	return f.Name + ": " + f.Message
}

// A bundle is one result: its value as MIME types. Values are strings, except
// those of JSON types.
type bundle map[string]any

var errNoMessage = errors.New("not one of the messages there are")

// parseMessage reads one line of a runner.
func parseMessage(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, err
	}
	kinds := 0
	for _, is := range []bool{m.Ready, m.Result != nil, m.Error != nil, m.End} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return message{}, errNoMessage
	}
	if m.Error != nil && m.Error.Name == "" {
		m.Error.Name = "Error"
	}
	return m, nil
}

// bundleOf takes from a result what clients can read: MIME types, with JSON for
// those that are JSON and text for all others.
func bundleOf(result map[string]json.RawMessage) bundle {
	b := bundle{}
	for mime, raw := range result {
		if !strings.Contains(mime, "/") || len(mime) > maxTypeName || len(b) == maxTypes {
			continue
		}
		if value, ok := valueOf(mime, raw); ok {
			b[mime] = value
		}
	}
	return b
}

func valueOf(mime string, raw json.RawMessage) (any, bool) {
	if bytes.Equal(raw, []byte("null")) {
		return nil, false
	}
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	switch {
	case mime == "application/json" || strings.HasSuffix(mime, "+json"):
		return raw, true
	case isText:
		return text, true
	}
	return string(raw), true
}

// encode is the bundle as clients get it.
func (b bundle) encode(main bool) string { return encode(b.flat(main)) }

// encode is what came out of JSON as JSON again, in which <, > and & stand for
// themselves.
func encode(flat map[string]any) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(flat); err != nil {
		panic("code: " + err.Error())
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// flat is the bundle with its mark.
func (b bundle) flat(main bool) map[string]any {
	flat := map[string]any{"isMainResult": main}
	for mime, value := range b {
		flat[mime] = value
	}
	return flat
}

// shrink leaves out the largest entries until the rest is at most limit bytes,
// and says so in the text.
func (b bundle) shrink(limit int) {
	for len(b) > 0 && len(b.encode(false)) > limit {
		largest, size := "", -1
		for mime, value := range b {
			if n := sizeOf(value); n > size {
				largest, size = mime, n
			}
		}
		delete(b, largest)
		note := fmt.Sprintf("[%s of %d bytes is too large to be streamed: save it to a file, or run without streaming]", largest, size)
		if text, ok := b["text/plain"].(string); ok {
			note = text + "\n" + note
		}
		b["text/plain"] = note
	}
}

func sizeOf(value any) int {
	if text, ok := value.(string); ok {
		return len(text)
	}
	return len(value.(json.RawMessage))
}

// request is the line that asks a runner to run code.
func request(code string) []byte {
	line, err := json.Marshal(struct {
		Code string `json:"code"`
	}{code})
	if err != nil {
		panic("code: " + err.Error()) // a string is always JSON
	}
	return append(line, '\n')
}

var interruptRequest = []byte("{\"interrupt\":true}\n")
