package operator

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/agentbay/agentbay/tool"
)

// A SearchIn is a task of finding what can be acted upon.
type SearchIn struct {
	Page        string // target ID; empty is the active page
	Instruction string
	Selector    string // of the part of the page; empty is all
	Vision      bool
}

const observeForm = `You look at a page of a web browser for somebody who tells you what to look for. ` + pageForm + `

Answer with one JSON object and nothing else:
{"found": [{"ref": "e12", "description": "what it is, in a few words", "method": "click"}]}
Name what fits and nothing else, at most 50 things; none is a good answer. The method is what a person would do with it: click, double_click, hover, fill, type, press, select or scroll; with "text" where the instruction says what to fill in or to select, and "key" for press.`

// maxFound bounds what is found at once.
const maxFound = 50

// Observe finds what can be acted upon.
func (o *Operator) Observe(ctx context.Context, page Page, in SearchIn) ([]tool.Observation, Usage, error) {
	t := &task{Operator: o, page: page, target: in.Page, vision: in.Vision}
	now, err := t.snapshot(ctx, in.Selector, 0)
	if err != nil {
		return nil, t.usage, err
	}
	var answer struct {
		Found []struct {
			Action
			Description string `json:"description"`
		} `json:"found"`
	}
	conversation := []Message{{System: true, Text: observeForm}, {Text: "Look for: " + in.Instruction}, pageMessage(now)}
	err = t.ask(ctx, conversation, func(object []byte) error {
		answer.Found = nil
		if err := json.Unmarshal(object, &answer); err != nil {
			return err
		}
		if len(answer.Found) > maxFound {
			return fmt.Errorf("it names more than %d things", maxFound)
		}
		for _, f := range answer.Found {
			if !hasRef(now, f.Ref) {
				return fmt.Errorf("the page has no reference %q", clip(f.Ref))
			}
			if err := f.check(now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(answer.Found) == 0 {
		return []tool.Observation{}, t.usage, err
	}
	refs := make([]string, len(answer.Found))
	for i, f := range answer.Found {
		refs[i] = f.Ref
	}
	selectors, err := page.Locate(ctx, tool.PageLocateIn{PageIn: tool.PageIn{Page: in.Page}, Refs: refs})
	if err != nil || len(selectors) != len(refs) {
		return nil, t.usage, failf("what was found is not there any more: %v", err)
	}
	var all []tool.Observation
	for i, f := range answer.Found {
		a := map[string]any{"ref": f.Ref}
		for name, v := range map[string]string{"selector": selectors[i], "text": f.Text, "key": f.Key} {
			if v != "" {
				a[name] = v
			}
		}
		args, err := json.Marshal(a)
		if err != nil {
			return nil, t.usage, err
		}
		all = append(all, tool.Observation{Selector: selectors[i], Description: clip(f.Description), Method: f.Method, Arguments: string(args)})
	}
	return all, t.usage, nil
}
