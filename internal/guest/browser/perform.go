package browser

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/tool"
)

// A node is a thing in a page that is acted upon.
type node struct {
	devtools.Session        // of the frame that it is in
	ID               int64  // of its DOM node, in that session
	frame            string // of another site, that it is in; else empty
}

// maxWait bounds how long a caller can have a page waited for.
const maxWait = 20 * time.Second

// perform does one thing in a page.
func (b *Browser) perform(ctx context.Context, in tool.PagePerformIn) (guest.Answer, error) {
	if err := checkPerform(in); err != nil {
		return guest.Answer{}, err
	}
	if in.Method == tool.PageGoto {
		return b.navigate(ctx, tool.NavigateIn{PageIn: in.PageIn, URL: in.Text})
	}
	return b.work(ctx, in.Page, pageWithin, func(ctx context.Context, p *page) (guest.Answer, error) {
		p.accept = in.Dialog == "accept"
		if err := p.perform(ctx, in); err != nil {
			return guest.Answer{}, err
		}
		if err := p.quiet(ctx); err != nil {
			return guest.Answer{}, err
		}
		return guest.Text("Done" + p.said(ctx)), nil
	})
}

// checkPerform refuses what cannot be done before the browser is asked.
func checkPerform(in tool.PagePerformIn) error {
	if !slices.Contains(tool.PageMethods, in.Method) {
		return guest.Failf(guest.BadArgument, "there is no method %q; use one of %s", clip(in.Method), strings.Join(tool.PageMethods, ", "))
	}
	aimed := []string{tool.PageClick, tool.PageDoubleClick, tool.PageHover, tool.PageFill, tool.PageType, tool.PageSelect}
	switch {
	case slices.Contains(aimed, in.Method) && in.Ref == "" && in.Selector == "":
		return guest.Failf(guest.BadArgument, "%s needs a ref of a snapshot, or a selector", in.Method)
	case in.Method == tool.PagePress && in.Key == "":
		return guest.Failf(guest.BadArgument, "press needs a key, such as Enter")
	case in.Dialog != "" && in.Dialog != "accept" && in.Dialog != "dismiss":
		return guest.Failf(guest.BadArgument, "a dialog is accepted or dismissed, not %q", clip(in.Dialog))
	}
	return nil
}

func (p *page) perform(ctx context.Context, in tool.PagePerformIn) error {
	var at node
	if in.Ref != "" || in.Selector != "" {
		var err error
		if at, err = p.resolve(ctx, in.Ref, in.Selector); err != nil {
			return err
		}
	}
	switch in.Method {
	case tool.PageClick:
		return p.click(ctx, at, 1)
	case tool.PageDoubleClick:
		return p.click(ctx, at, 2)
	case tool.PageHover:
		return p.click(ctx, at, 0)
	case tool.PageFill:
		return p.fill(ctx, at, in.Text)
	case tool.PageType:
		if err := at.focus(ctx); err != nil {
			return err
		}
		return at.Call(ctx, "Input.insertText", map[string]any{"text": in.Text}, nil)
	case tool.PagePress:
		if at.ID != 0 {
			if err := at.focus(ctx); err != nil {
				return err
			}
		}
		return p.press(ctx, in.Key)
	case tool.PageSelect:
		return at.choose(ctx, in.Text)
	case tool.PageScroll:
		return p.scroll(ctx, at, in.Amount)
	case tool.PageBack:
		return p.back(ctx)
	}
	return p.wait(ctx, in.Amount)
}

// resolve finds what a reference or a selector names.
func (p *page) resolve(ctx context.Context, ref, selector string) (node, error) {
	if ref == "" {
		id, err := p.find(ctx, selector)
		return node{Session: p.Session, ID: id}, err
	}
	number, frame, _ := strings.Cut(strings.Trim(ref, "[]"), "@")
	id, err := strconv.ParseInt(strings.TrimPrefix(number, "e"), 10, 64)
	if err != nil || id <= 0 {
		return node{}, guest.Failf(guest.BadArgument, "%q is no reference; a snapshot has them, such as e12", clip(ref))
	}
	at := node{Session: p.Session, ID: id, frame: frame}
	if frame != "" {
		if err := p.findFrames(ctx); err != nil {
			return at, err
		}
		p.mu.Lock()
		other, ok := p.frames[frame]
		p.mu.Unlock()
		if !ok {
			return at, guest.Failf(guest.BadArgument, "the frame of %s is gone; take another snapshot", clip(ref))
		}
		at.Session = other
	}
	if err := at.Call(ctx, "DOM.describeNode", map[string]any{"backendNodeId": id}, nil); err != nil {
		return at, guest.Failf(guest.BadArgument, "there is nothing %s any more; take another snapshot", clip(ref))
	}
	return at, nil
}

// finder finds an element by a CSS selector or an XPath.
const finder = `(s => s.startsWith('xpath=') || s.startsWith('/')
	? document.evaluate(s.replace(/^xpath=/, ''), document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue
	: document.querySelector(s))`

// An evaluated script has a result, or has thrown something.
type evaluated struct {
	Result struct {
		ObjectID string
		Value    json.RawMessage
	}
	ExceptionDetails *struct{ Exception struct{ Description string } }
}

// thrown is what it has thrown.
func (e evaluated) thrown() string { return clip(e.ExceptionDetails.Exception.Description) }

// find finds the DOM node of a selector.
func (p *page) find(ctx context.Context, selector string) (int64, error) {
	quoted, err := json.Marshal(selector)
	if err != nil {
		return 0, err
	}
	var out evaluated
	if err := p.Call(ctx, "Runtime.evaluate", map[string]any{"expression": finder + "(" + string(quoted) + ")"}, &out); err != nil {
		return 0, err
	}
	if out.ExceptionDetails != nil {
		return 0, guest.Failf(guest.BadArgument, "%q is no selector: %s", clip(selector), out.thrown())
	}
	if out.Result.ObjectID == "" {
		return 0, guest.Failf(guest.BadArgument, "nothing in the page is %q", clip(selector))
	}
	var found struct{ Node struct{ BackendNodeID int64 } }
	err = p.Call(ctx, "DOM.describeNode", map[string]any{"objectId": out.Result.ObjectID}, &found)
	return found.Node.BackendNodeID, err
}

// run calls a function in the page with the node as this, and reads what it returns.
func (n node) run(ctx context.Context, function string, result any, args ...any) error {
	var object struct{ Object struct{ ObjectID string } }
	if err := n.Call(ctx, "DOM.resolveNode", map[string]any{"backendNodeId": n.ID}, &object); err != nil {
		return err
	}
	values := []map[string]any{}
	for _, a := range args {
		values = append(values, map[string]any{"value": a})
	}
	var out evaluated
	err := n.Call(ctx, "Runtime.callFunctionOn", map[string]any{
		"objectId": object.Object.ObjectID, "functionDeclaration": function, "arguments": values, "returnByValue": true, "userGesture": true,
	}, &out)
	if err != nil {
		return err
	}
	if out.ExceptionDetails != nil {
		return guest.Failf(guest.Unsuccessful, "the page refuses: %s", out.thrown())
	}
	if result == nil || len(out.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(out.Result.Value, result)
}

// focus gives a node the focus of the keyboard.
func (n node) focus(ctx context.Context) error {
	if err := n.Call(ctx, "DOM.focus", map[string]any{"backendNodeId": n.ID}, nil); err != nil {
		return guest.Failf(guest.BadArgument, "nothing can be typed there: %v", err)
	}
	return nil
}

// centre is the middle of a node, in pixels of what its frame shows.
func (n node) centre(ctx context.Context) (x, y float64, err error) {
	at := map[string]any{"backendNodeId": n.ID}
	if err := n.Call(ctx, "DOM.scrollIntoViewIfNeeded", at, nil); err != nil {
		return 0, 0, guest.Failf(guest.BadArgument, "it is not shown (%v); take another snapshot", err)
	}
	var out struct{ Quads [][]float64 }
	if err := n.Call(ctx, "DOM.getContentQuads", at, &out); err != nil {
		return 0, 0, guest.Failf(guest.BadArgument, "it is not shown (%v); take another snapshot", err)
	}
	for _, q := range out.Quads {
		if len(q) == 8 {
			return (q[0] + q[2] + q[4] + q[6]) / 4, (q[1] + q[3] + q[5] + q[7]) / 4, nil
		}
	}
	return 0, 0, guest.Failf(guest.BadArgument, "it has no size")
}

// point is the middle of a node, in pixels of what the page shows.
func (p *page) point(ctx context.Context, n node) (x, y float64, err error) {
	var left, top float64
	if n.frame != "" { // its owner is in the page itself; scrolling moves both
		var owner struct{ BackendNodeID int64 }
		if err := p.Call(ctx, "DOM.getFrameOwner", map[string]any{"frameId": n.frame}, &owner); err != nil {
			return 0, 0, err
		}
		if _, _, err := n.centre(ctx); err != nil {
			return 0, 0, err
		}
		var box struct{ Model struct{ Content []float64 } }
		if err := p.Call(ctx, "DOM.getBoxModel", map[string]any{"backendNodeId": owner.BackendNodeID}, &box); err != nil || len(box.Model.Content) < 2 {
			return 0, 0, guest.Failf(guest.Unsuccessful, "its frame is not shown")
		}
		left, top = box.Model.Content[0], box.Model.Content[1]
	}
	x, y, err = n.centre(ctx)
	return left + x, top + y, err
}

// click moves the pointer to a node, and clicks there so many times.
func (p *page) click(ctx context.Context, n node, times int) error {
	x, y, err := p.point(ctx, n)
	if err != nil {
		return err
	}
	mouse := func(kind string, count int) error {
		return p.Call(ctx, "Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": count}, nil)
	}
	if err := mouse("mouseMoved", 0); err != nil {
		return err
	}
	for i := 1; i <= times; i++ {
		if err := mouse("mousePressed", i); err != nil {
			return err
		}
		if err := mouse("mouseReleased", i); err != nil {
			return err
		}
	}
	return nil
}

// emptied selects what a field holds, and reports whether that can be typed over:
// fields such as those of a date are set instead.
const emptied = `function(text) {
	const typed = ['text', 'search', 'email', 'url', 'tel', 'password', 'number', 'textarea']
	if (this.isContentEditable) { getSelection().selectAllChildren(this); return true }
	if (!('value' in this)) throw new Error('it is no field')
	if (this.disabled || this.readOnly) throw new Error('the field cannot be written')
	if (typed.includes(this.type)) { this.select(); return true }
	this.value = text
	if (this.value !== text) throw new Error('the field does not take this')
	this.dispatchEvent(new Event('input', {bubbles: true}))
	this.dispatchEvent(new Event('change', {bubbles: true}))
	return false
}`

// fill has a field hold a text.
func (p *page) fill(ctx context.Context, n node, text string) error {
	if err := n.focus(ctx); err != nil {
		return err
	}
	var typed bool
	if err := n.run(ctx, emptied, &typed, text); err != nil || !typed {
		return err
	}
	if text == "" {
		return p.press(ctx, "Delete")
	}
	return n.Call(ctx, "Input.insertText", map[string]any{"text": text}, nil)
}

// chosen chooses an option by what it is called.
const chosen = `function(text) {
	const all = [...(this.options ?? [])]
	const match = f => all.find(o => f(o.label.trim()) || f(o.value))
	const option = match(s => s === text) ?? match(s => s.toLowerCase() === text.trim().toLowerCase())
	if (!option) throw new Error('the options are: ' + all.map(o => o.label.trim()).join(', '))
	option.selected = true
	this.dispatchEvent(new Event('input', {bubbles: true}))
	this.dispatchEvent(new Event('change', {bubbles: true}))
}`

// choose chooses an option of a list.
func (n node) choose(ctx context.Context, text string) error { return n.run(ctx, chosen, nil, text) }

// scroll turns the wheel over a node, or over the middle of the page.
func (p *page) scroll(ctx context.Context, n node, screens float64) error {
	if screens == 0 {
		screens = 1
	}
	var out struct {
		CSSVisualViewport struct{ ClientWidth, ClientHeight float64 }
	}
	if err := p.Call(ctx, "Page.getLayoutMetrics", nil, &out); err != nil {
		return err
	}
	x, y := out.CSSVisualViewport.ClientWidth/2, out.CSSVisualViewport.ClientHeight/2
	if n.ID != 0 {
		var err error
		if x, y, err = p.point(ctx, n); err != nil {
			return err
		}
	}
	by := max(min(screens, 100), -100) * out.CSSVisualViewport.ClientHeight
	return p.Call(ctx, "Input.dispatchMouseEvent", map[string]any{"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by}, nil)
}

// back goes to the page before.
func (p *page) back(ctx context.Context) error {
	var out struct {
		CurrentIndex int
		Entries      []struct{ ID int64 }
	}
	if err := p.Call(ctx, "Page.getNavigationHistory", nil, &out); err != nil {
		return err
	}
	if i := out.CurrentIndex - 1; i >= 0 && i < len(out.Entries) {
		return p.Call(ctx, "Page.navigateToHistoryEntry", map[string]any{"entryId": out.Entries[i].ID}, nil)
	}
	return guest.Failf(guest.BadArgument, "there is no page before")
}

// wait waits because a caller wants it.
func (p *page) wait(ctx context.Context, seconds float64) error {
	over := time.NewTimer(min(time.Duration(max(seconds, 0)*float64(time.Second)), maxWait))
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settled is fulfilled when the page has loaded and has not changed for a tenth of
// a second, or after two.
const settled = `new Promise(done => {
	let timer
	const again = () => { clearTimeout(timer); timer = setTimeout(look, 100) }
	const look = () => document.readyState === 'complete' ? end() : again()
	const watch = new MutationObserver(again)
	const end = () => { watch.disconnect(); clearTimeout(timer); clearTimeout(limit); done() }
	const limit = setTimeout(end, 2000)
	watch.observe(document, {subtree: true, childList: true, attributes: true, characterData: true})
	again()
})`

// quietWithin is how long a page may take to become quiet.
const quietWithin = 8 * time.Second

// quiet returns when the page has dealt with what was done in it. That may have
// led elsewhere: then what was asked of the page before is broken off, and the
// next is asked.
func (p *page) quiet(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, quietWithin)
	defer cancel()
	for range 5 {
		err := p.Call(soon, "Runtime.evaluate", map[string]any{"expression": settled, "awaitPromise": true}, nil)
		if err == nil || soon.Err() != nil {
			break
		}
		select {
		case <-p.Gone():
			return devtools.ErrClosed
		default:
		}
	}
	return ctx.Err()
}

// A key is one that has a name.
type key struct {
	code  int // Windows's virtual key
	text  string
	named string // in DevTools, if it is not called so
}

var keys = map[string]key{
	"enter": {13, "\r", "Enter"}, "return": {13, "\r", "Enter"}, "tab": {9, "\t", "Tab"}, "escape": {27, "", "Escape"}, "esc": {27, "", "Escape"},
	"backspace": {8, "", "Backspace"}, "delete": {46, "", "Delete"}, "space": {32, " ", " "},
	"arrowleft": {37, "", "ArrowLeft"}, "arrowup": {38, "", "ArrowUp"}, "arrowright": {39, "", "ArrowRight"}, "arrowdown": {40, "", "ArrowDown"},
	"home": {36, "", "Home"}, "end": {35, "", "End"}, "pageup": {33, "", "PageUp"}, "pagedown": {34, "", "PageDown"},
}

// modifiers is the bits of DevTools.
var modifiers = map[string]int{"alt": 1, "control": 2, "ctrl": 2, "meta": 4, "shift": 8}

// press presses a key, with others held.
func (p *page) press(ctx context.Context, name string) error {
	held := 0
	parts := strings.Split(name, "+")
	if strings.HasSuffix(name, "+") { // the plus itself
		parts = append(parts[:len(parts)-2], "+")
	}
	for _, m := range parts[:len(parts)-1] {
		bit, ok := modifiers[strings.ToLower(m)]
		if !ok {
			return guest.Failf(guest.BadArgument, "there is no key %q to hold; use Alt, Control, Meta or Shift", clip(m))
		}
		held |= bit
	}
	last := parts[len(parts)-1]
	k, ok := keys[strings.ToLower(last)]
	if r := []rune(last); !ok && len(r) == 1 {
		k = key{named: last, text: last}
		if up := strings.ToUpper(last); up >= "0" && up <= "Z" {
			k.code = int(up[0])
		}
	} else if !ok {
		return guest.Failf(guest.BadArgument, "there is no key %q; use a character, or one such as Enter, Tab, Escape or ArrowDown", clip(last))
	}
	event := map[string]any{"type": "keyDown", "key": k.named, "windowsVirtualKeyCode": k.code, "modifiers": held}
	if k.text != "" && held&^modifiers["shift"] == 0 {
		event["text"] = k.text
	}
	if held == modifiers["control"] && strings.EqualFold(last, "a") {
		event["commands"] = []string{"selectAll"}
	}
	if err := p.Call(ctx, "Input.dispatchKeyEvent", event, nil); err != nil {
		return err
	}
	delete(event, "text")
	delete(event, "commands")
	event["type"] = "keyUp"
	return p.Call(ctx, "Input.dispatchKeyEvent", event, nil)
}

// path is an XPath of an element of the page itself.
const path = `function() {
	if (this.ownerDocument !== document || this.getRootNode() !== document) return ''
	let s = ''
	for (let e = this.nodeType === 1 ? this : this.parentElement; e; e = e.parentElement) {
		const same = e.parentElement ? [...e.parentElement.children].filter(x => x.localName === e.localName) : [e]
		s = '/' + e.localName + (same.length > 1 ? '[' + (same.indexOf(e) + 1) + ']' : '') + s
	}
	return 'xpath=' + s
}`

// maxRefs bounds how many things are located at once.
const maxRefs = 200

// locate tells where things are.
func (b *Browser) locate(ctx context.Context, in tool.PageLocateIn) (guest.Answer, error) {
	if len(in.Refs) > maxRefs {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "at most %d things are located at once", maxRefs)
	}
	return b.work(ctx, in.Page, pageWithin, func(ctx context.Context, p *page) (guest.Answer, error) {
		paths := make([]string, len(in.Refs))
		for i, ref := range in.Refs {
			at, err := p.resolve(ctx, ref, "")
			if err == nil && at.frame == "" {
				err = at.run(ctx, path, &paths[i])
			}
			if err != nil {
				return guest.Answer{}, err
			}
		}
		return guest.JSON(paths), nil
	})
}
