package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agentbay/agentbay/tool"
)

// An ExtractIn is a task of reading.
type ExtractIn struct {
	SearchIn
	Schema string // JSON schema of what is read; it may be headed "schema:"
	Pages  int    // of a list; 0 means one
}

const extractForm = `You read a page of a web browser for somebody who tells you what is wanted of it. ` + pageForm + `

Answer with one JSON object and nothing else:
{"data": …, "next": {"method": "click", "ref": "e12"}}
The data is what is wanted, as this JSON schema has it, taken from the page and not made up; what the page does not have is left out, or null where the schema lets it be:
`

// extractLimit is how much of a page is read at once, in bytes.
const extractLimit = 150_000

// Extract reads a page, and those that follow it, by a schema. Lists of several
// pages are joined.
func (o *Operator) Extract(ctx context.Context, page Page, in ExtractIn) (json.RawMessage, Usage, error) {
	text := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(in.Schema), "schema:"))
	schema, err := compile(text)
	if err != nil {
		return nil, Usage{}, failf("the schema is none: %v", err)
	}
	t := &task{Operator: o, page: page, target: in.Page, vision: in.Vision}
	var all any
	grows := false // what is read next has what was read before
	for n := max(1, min(in.Pages, maxPages)); n > 0; n-- {
		data, next, err := t.read(ctx, in, text, schema, n > 1)
		if err != nil {
			return nil, t.usage, err
		}
		if all = join(all, data, grows); next == nil || n == 1 {
			break
		}
		grows = next.Method == tool.PageScroll
		if step, err := t.perform(ctx, *next); err != nil {
			return nil, t.usage, err
		} else if step.Failed {
			break // there is no next page after all
		}
	}
	if err := schema.Validate(all); err != nil {
		return nil, t.usage, failf("the pages do not make one whole: %s", clip(err.Error()))
	}
	out, err := json.Marshal(all)
	return out, t.usage, err
}

// read reads one page, and finds out how to get to the next if that is wanted.
func (t *task) read(ctx context.Context, in ExtractIn, text string, schema *jsonschema.Schema, more bool) (data any, next *Action, err error) {
	now, err := t.snapshot(ctx, in.Selector, extractLimit)
	if err != nil {
		return nil, nil, err
	}
	form := extractForm + text
	if more {
		form += "\nThe data goes on: next is what leads to the next part of it, such as a click on the link to the next page, or {\"method\": \"scroll\", \"amount\": 1}. Leave it out if this is the last part."
	} else {
		form += "\nLeave next out."
	}
	conversation := []Message{{System: true, Text: form}, {Text: "What is wanted: " + in.Instruction}, pageMessage(now)}
	err = t.ask(ctx, conversation, func(object []byte) error {
		var answer struct {
			Data json.RawMessage `json:"data"`
			Next *Action         `json:"next"`
		}
		if err := json.Unmarshal(object, &answer); err != nil {
			return err
		}
		if len(answer.Data) == 0 {
			return errors.New("it has no data")
		}
		if data, err = jsonschema.UnmarshalJSON(bytes.NewReader(answer.Data)); err != nil {
			return err
		}
		if next = answer.Next; next != nil {
			if err := next.check(now); err != nil {
				return err
			}
		}
		return schema.Validate(data)
	})
	return data, next, err
}

// compile reads a schema. It can refer to nothing outside itself.
func compile(text string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL)
}

const schemaURL = "agentbay:///schema.json"

// nowhere loads no schemas: a client's could name files of the host.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, errors.New("it refers to something outside itself")
}

// join makes one of what two pages have: their lists joined, and of the rest what
// came first. Of a page that grows as it is scrolled, lists have their old end once.
func join(first, second any, grows bool) any {
	switch a := first.(type) {
	case nil:
		return second
	case []any:
		if b, ok := second.([]any); ok {
			if grows {
				b = b[overlap(a, b):]
			}
			return append(a[:len(a):len(a)], b...)
		}
	case map[string]any:
		if b, ok := second.(map[string]any); ok {
			for name, v := range b {
				a[name] = join(a[name], v, grows)
			}
		}
	}
	return first
}

// overlap is how many items at the end of a list are the beginning of another.
func overlap(a, b []any) int {
	for n := min(len(a), len(b)); n > 0; n-- {
		if reflect.DeepEqual(a[len(a)-n:], b[:n]) {
			return n
		}
	}
	return 0
}
