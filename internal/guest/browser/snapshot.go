package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/tool"
)

// Bounds of a snapshot.
const (
	snapshotLimit    = 60_000  // bytes, if the caller does not say
	maxSnapshotLimit = 1 << 20 // bytes
	maxDepth         = 60      // of nested frames and things; pages nest without end
	maxFrames        = 50
)

// snapshot writes a page as text.
func (b *Browser) snapshot(ctx context.Context, in tool.PageSnapshotIn) (guest.Answer, error) {
	return b.work(ctx, in.Page, pageWithin, func(ctx context.Context, p *page) (guest.Answer, error) {
		out, err := p.snapshot(ctx, in)
		return guest.JSON(out), err
	})
}

func (p *page) snapshot(ctx context.Context, in tool.PageSnapshotIn) (out tool.PageSnapshotOut, err error) {
	if err := p.findFrames(ctx); err != nil {
		return out, err
	}
	w := writer{page: p, limit: snapshotLimit}
	if in.Limit > 0 {
		w.limit = min(in.Limit, maxSnapshotLimit)
	}
	if in.Selector != "" {
		if w.only, err = p.find(ctx, in.Selector); err != nil {
			return out, err
		}
	}
	if err := w.frame(ctx, p.Session, "", "", 0); err != nil {
		return out, err
	}
	out.Page, out.Text, out.Cut = p.target, w.out.String(), w.cut
	if out.Title, out.URL, err = p.where(ctx); err != nil {
		return out, err
	}
	if in.Vision {
		out.Picture, err = p.capture(ctx, tool.PageScreenshotIn{Full: &in.Full}, map[string]any{"format": "jpeg", "quality": 70})
	}
	return out, err
}

// findFrames attaches to the frames of other sites.
func (p *page) findFrames(ctx context.Context) error {
	stop := p.On("Target.attachedToTarget", func(params json.RawMessage) {
		var e struct {
			SessionID  string
			TargetInfo struct{ TargetID, Type string }
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if json.Unmarshal(params, &e) == nil && e.TargetInfo.Type == "iframe" && len(p.frames) < maxFrames {
			p.frames[e.TargetInfo.TargetID] = p.Session.Session(e.SessionID)
		}
	})
	defer stop()
	// It tells of all there are before it returns.
	return p.Call(ctx, "Target.setAutoAttach", map[string]any{"autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true}, nil)
}

// A thing is a node of the accessibility tree, as assistive programs see it:
// https://chromedevtools.github.io/devtools-protocol/tot/Accessibility.
type thing struct {
	NodeID     string
	ParentID   string
	Ignored    bool
	Role, Name value
	Value      value
	Properties []struct {
		Name  string
		Value value
	}
	ChildIDs         []string
	BackendDOMNodeID int64
}

type value struct{ Value any }

func (v value) String() string {
	if v.Value == nil {
		return ""
	}
	return fmt.Sprint(v.Value)
}

// A writer writes a page.
type writer struct {
	page  *page
	limit int
	only  int64 // the DOM node that is wanted; 0 is all
	out   strings.Builder
	cut   bool
	trees int // written so far
}

// frame writes what is in a frame: of the session's own site if id is empty or in
// the same process. suffix is what its references end in.
func (w *writer) frame(ctx context.Context, s devtools.Session, id, suffix string, depth int) error {
	if w.trees++; w.trees > maxFrames {
		return nil
	}
	params := map[string]any{}
	if id != "" {
		params["frameId"] = id
	}
	var out struct{ Nodes []*thing }
	if err := s.Call(ctx, "Accessibility.getFullAXTree", params, &out); err != nil {
		return err
	}
	t := tree{writer: w, session: s, suffix: suffix, byID: map[string]*thing{}}
	for _, n := range out.Nodes {
		t.byID[n.NodeID] = n
	}
	for _, n := range out.Nodes {
		wanted := n.ParentID == ""
		if w.only != 0 && depth == 0 {
			wanted = n.BackendDOMNodeID == w.only
		}
		if wanted {
			t.write(ctx, n, depth)
			break
		}
	}
	return nil
}

// A tree is the things of one frame.
type tree struct {
	*writer
	session devtools.Session
	suffix  string
	byID    map[string]*thing
}

// unseen are roles that say nothing by themselves; what is in them does.
var unseen = []string{"", "none", "generic", "RootWebArea", "InlineTextBox", "LineBreak", "paragraph", "LayoutTableRow", "Section", "strong", "emphasis", "group", "rowgroup", "LabelText", "MenuListPopup"}

// named are roles whose name is what is in them.
var named = []string{"button", "link", "heading", "option", "tab", "menuitem", "menuitemcheckbox", "menuitemradio", "treeitem", "cell", "gridcell", "columnheader", "rowheader", "switch", "checkbox", "radio", "legend", "caption"}

// fields are roles whose value is what is in them.
var fields = []string{"textbox", "searchbox", "spinbutton"}

// write writes a thing and what is in it.
func (t *tree) write(ctx context.Context, n *thing, depth int) {
	if t.cut || depth > maxDepth || ctx.Err() != nil {
		return
	}
	role := n.Role.String()
	shown := !n.Ignored && (!slices.Contains(unseen, role) || n.has("focusable") && role != "RootWebArea")
	if shown {
		t.line(n, role, depth)
		depth++
	}
	if role == "Iframe" {
		t.inside(ctx, n, depth)
		return
	}
	said := slices.Contains(named, role) && n.Name.String() != "" || slices.Contains(fields, role)
	if shown && (role == "StaticText" || said && t.plain(n)) {
		return
	}
	for _, id := range n.ChildIDs {
		if c := t.byID[id]; c != nil {
			t.write(ctx, c, depth)
		}
	}
}

// plain reports whether there is nothing in a thing but text.
func (t *tree) plain(n *thing) bool {
	for _, id := range n.ChildIDs {
		c := t.byID[id]
		if c == nil {
			continue
		}
		switch role := c.Role.String(); {
		case role == "StaticText" || role == "InlineTextBox" || role == "LineBreak":
		case (c.Ignored || slices.Contains(unseen, role)) && !c.has("focusable") && t.plain(c):
		default:
			return false
		}
	}
	return true
}

// inside writes what is in a frame.
func (t *tree) inside(ctx context.Context, n *thing, depth int) {
	var out struct{ Node struct{ FrameID string } }
	if t.session.Call(ctx, "DOM.describeNode", map[string]any{"backendNodeId": n.BackendDOMNodeID}, &out) != nil || out.Node.FrameID == "" {
		return // it has gone, or was never filled
	}
	id := out.Node.FrameID
	t.page.mu.Lock()
	other, ok := t.page.frames[id]
	t.page.mu.Unlock()
	if ok {
		t.frame(ctx, other, "", "@"+id, depth)
		return
	}
	t.frame(ctx, t.session, id, t.suffix, depth)
}

// has reports whether a property of a thing is true.
func (n *thing) has(property string) bool {
	for _, p := range n.Properties {
		if p.Name == property {
			return p.Value.Value == true || p.Value.Value == "true"
		}
	}
	return false
}

// states is the properties that are told if they are true.
var states = []string{"checked", "disabled", "expanded", "focused", "pressed", "readonly", "required", "selected", "invalid"}

// maxName is how much of a name or value is written, in bytes.
const maxName = 500

// line writes the line of a thing.
func (t *tree) line(n *thing, role string, depth int) {
	name := strings.Join(strings.Fields(n.Name.String()), " ")
	if role == "StaticText" {
		if name != "" {
			t.add(depth, shorten(name))
		}
		return
	}
	var b strings.Builder
	b.WriteString(role)
	if name != "" {
		fmt.Fprintf(&b, " %q", shorten(name))
	}
	if v := n.Value.String(); v != "" && v != name {
		fmt.Fprintf(&b, " = %q", shorten(v))
	}
	for _, p := range n.Properties {
		if slices.Contains(states, p.Name) && p.Value.String() != "false" {
			b.WriteString(" " + p.Name)
			if p.Value.String() == "mixed" {
				b.WriteString("=mixed")
			}
		}
	}
	if n.BackendDOMNodeID != 0 {
		fmt.Fprintf(&b, " [e%d%s]", n.BackendDOMNodeID, t.suffix)
	}
	t.add(depth, b.String())
}

func shorten(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "…"
}

// add writes a line, if there is room for it.
func (w *writer) add(depth int, line string) {
	if w.out.Len()+2*depth+len(line)+1 > w.limit {
		w.cut = true
		return
	}
	w.out.WriteString(strings.Repeat("  ", depth))
	w.out.WriteString(line)
	w.out.WriteByte('\n')
}
