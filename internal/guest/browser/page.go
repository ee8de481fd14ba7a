package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/tool"
)

// A page is a page of the browser that a tool is at work on.
type page struct {
	devtools.Session
	browser devtools.Session
	target  string
	frames  map[string]devtools.Session // of other sites, by their IDs; each has a process of its own
	accept  bool                        // what dialogs ask

	downloads *downloads // of the browser
	had       int        // how many of them there were when the work began

	mu      sync.Mutex
	dialogs []string // what they said; guarded by mu
}

// pageWithin is how long a page may take to do what a tool wants of it.
const pageWithin = 30 * time.Second

// work has a tool work on a page, the active one if id is empty. A browser is
// opened if none is. Dialogs that the page opens meanwhile are answered, as
// nothing goes on behind them: what asks is denied, what tells is taken note of.
func (b *Browser) work(ctx context.Context, id string, limit time.Duration, do func(context.Context, *page) (guest.Answer, error)) (guest.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := b.workWithin(ctx, id, do)
	switch refusal := (*devtools.Error)(nil); {
	case errors.Is(err, context.DeadlineExceeded):
		err = guest.Failf(guest.Unsuccessful, "[timeout] the page did not answer within %s; a script of it may be busy", limit)
	case errors.Is(err, devtools.ErrClosed):
		err = guest.Failf(guest.Unsuccessful, "the page was closed meanwhile")
	case errors.As(err, &refusal):
		err = guest.Failf(guest.Unsuccessful, "the browser refuses: %s", refusal.Message)
	}
	return answer, err
}

func (b *Browser) workWithin(ctx context.Context, id string, do func(context.Context, *page) (guest.Answer, error)) (guest.Answer, error) {
	p, err := b.opened(ctx, tool.BrowserIn{Keep: true})
	if err != nil {
		return guest.Answer{}, err
	}
	at, err := b.attach(ctx, p.tools.Browser(), id)
	if err != nil {
		return guest.Answer{}, err
	}
	defer at.detach()
	at.downloads, at.had = p.downloads, p.downloads.begun()
	return do(ctx, at)
}

// attach begins to work on a page, by default on the active one. That may close
// between two questions; then it is another.
func (b *Browser) attach(ctx context.Context, browser devtools.Session, id string) (*page, error) {
	if id != "" {
		return attach(ctx, browser, id)
	}
	for tries := 1; ; tries++ {
		id, err := b.active(ctx, browser)
		if err != nil {
			return nil, err
		}
		p, err := attach(ctx, browser, id)
		if gone := (*guest.Failure)(nil); !errors.As(err, &gone) || tries == maxTries {
			return p, err
		}
	}
}

// maxTries bounds how often the active page is looked for.
const maxTries = 50

// attach begins to work on a page.
func attach(ctx context.Context, browser devtools.Session, id string) (*page, error) {
	var out struct{ SessionID string }
	err := browser.Call(ctx, "Target.attachToTarget", map[string]any{"targetId": id, "flatten": true}, &out)
	if refusal := (*devtools.Error)(nil); errors.As(err, &refusal) {
		return nil, guest.Failf(guest.BadArgument, "there is no page %q; without page_id it is the active one", clip(id))
	}
	if err != nil {
		return nil, err
	}
	p := &page{Session: browser.Session(out.SessionID), browser: browser, target: id, frames: map[string]devtools.Session{}}
	p.On("Page.javascriptDialogOpening", p.answerDialog)
	// A page that has crashed, or is busy, would answer late or never.
	return p, p.Tell(ctx, "Page.enable", nil)
}

// detach ends the work on the page.
func (p *page) detach() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.Forget()
	p.browser.Call(ctx, "Target.detachFromTarget", map[string]any{"sessionId": p.ID}, nil) // it may have gone
}

// maxTold bounds how many dialogs and downloads are told of.
const maxTold = 3

// answerDialog closes a dialog that the page has opened.
func (p *page) answerDialog(params json.RawMessage) {
	var dialog struct{ Type, Message string }
	json.Unmarshal(params, &dialog)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dialogs) < maxTold && dialog.Type != "beforeunload" {
		p.dialogs = append(p.dialogs, fmt.Sprintf("%s %q", dialog.Type, clip(dialog.Message)))
	}
	accept := p.accept || dialog.Type == "alert" || dialog.Type == "beforeunload"
	go p.Tell(context.Background(), "Page.handleJavaScriptDialog", map[string]any{"accept": accept})
}

// said is sentences about the dialogs that were answered, and about downloads.
func (p *page) said(ctx context.Context) string {
	text := p.downloaded(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dialogs) > 0 {
		text += "; the page opened a dialog, which was closed: " + strings.Join(p.dialogs, ", ")
	}
	return text
}

// clip shortens what is repeated to the caller.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 200)], "�") }

// maxTargets bounds the browser's list of its targets, in bytes.
const maxTargets = 8 << 20

// active is the page that was active last. If the browser has none, one is opened.
func (b *Browser) active(ctx context.Context, browser devtools.Session) (string, error) {
	// Only this list is in the order of use (content/browser/devtools, DevToolsHttpHandler).
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/json/list", b.Port), nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var list []struct{ ID, Type, URL string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxTargets)).Decode(&list); err != nil {
		return "", err
	}
	for _, t := range list {
		if t.Type == "page" && !strings.HasPrefix(t.URL, "devtools://") {
			return t.ID, nil
		}
	}
	return newPage(ctx, browser)
}

func newPage(ctx context.Context, browser devtools.Session) (string, error) {
	var out struct{ TargetID string }
	err := browser.Call(ctx, "Target.createTarget", map[string]any{"url": "about:blank"}, &out)
	return out.TargetID, err
}

// navigate goes to an address.
func (b *Browser) navigate(ctx context.Context, in tool.NavigateIn) (guest.Answer, error) {
	address, err := addressOf(in.URL)
	if err != nil {
		return guest.Answer{}, err
	}
	return b.work(ctx, in.Page, 2*pageWithin, func(ctx context.Context, p *page) (guest.Answer, error) {
		note := ""
		if !p.alive(ctx) {
			if p, err = b.replace(ctx, p); err != nil {
				return guest.Answer{}, err
			}
			defer p.detach()
			note = ", in another page, as the one before did not answer any more"
		}
		loaded, err := p.open(ctx, address)
		if err == errCrashed && note == "" { // with what was there before, which may have been large
			if p, err = b.replace(ctx, p); err != nil {
				return guest.Answer{}, err
			}
			defer p.detach()
			note = ", in another page, as the one before crashed"
			loaded, err = p.open(ctx, address)
		}
		if err == errAborted {
			return p.stayed(ctx, address)
		}
		if err != nil {
			return guest.Answer{}, err
		}
		if loaded {
			p.painted(ctx)
		}
		title, at, err := p.where(ctx)
		if err != nil {
			return guest.Answer{}, err
		}
		text := fmt.Sprintf("Navigated to %s, %q", clip(at), clip(title))
		if !loaded {
			text += ", which is still loading"
		}
		return guest.Text(text + note + p.said(ctx)), nil
	})
}

// errAborted is what opening an address ends with that no page comes of.
var errAborted = errors.New("no page has come of it")

// stayed is what is said of an address that no page has come of.
func (p *page) stayed(ctx context.Context, address string) (guest.Answer, error) {
	if said := p.said(ctx); said != "" {
		return guest.Text("Stayed where it was" + said), nil
	}
	return guest.Answer{}, guest.Failf(guest.Unsuccessful, "the browser did not go to %s: the page before, or the site, refused", clip(address))
}

// paintedWithin is how long a page may take to be painted.
const paintedWithin = time.Second

// painted waits until the page, which has loaded, is on the screen. The browser
// answers with a picture once the frame that it is of was presented, whereas what a
// script can wait for comes before. A page in the background has no frames. One
// that takes too long is not waited for: there are other ways to see that.
func (p *page) painted(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, paintedWithin)
	defer cancel()
	var shown struct{ Result struct{ Value bool } }
	err := p.Call(ctx, "Runtime.evaluate", map[string]any{"expression": "document.visibilityState == 'visible'"}, &shown)
	if err == nil && shown.Result.Value {
		_ = p.Call(ctx, "Page.captureScreenshot", map[string]any{"format": "jpeg", "quality": 0, "optimizeForSpeed": true}, nil)
	}
}

// abortedWithin is how soon it is known why no page comes of an address.
const abortedWithin = time.Second

// aborted is why no page comes of an address: the process of the page has crashed,
// or the address is of a download, or neither is so.
func (p *page) aborted(ctx context.Context, crashed <-chan struct{}) error {
	list, _, changed := p.downloads.since(p.had)
	if len(list) > 0 {
		return errAborted
	}
	select {
	case <-crashed:
		return errCrashed
	case <-changed:
	case <-time.After(abortedWithin):
	case <-ctx.Done():
	}
	return errAborted
}

// where is what the page is called, and its address.
func (p *page) where(ctx context.Context) (title, address string, err error) {
	var out struct {
		TargetInfo struct{ Title, URL string }
	}
	err = p.browser.Call(ctx, "Target.getTargetInfo", map[string]any{"targetId": p.target}, &out)
	return out.TargetInfo.Title, out.TargetInfo.URL, err
}

// schemes is those of addresses that pages have.
var schemes = []string{"about", "blob", "chrome", "chrome-extension", "data", "file", "http", "https", "view-source"}

// addressOf is an address that a page can be navigated to; one without a scheme is
// of the web.
func addressOf(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", guest.Failf(guest.BadArgument, "the address is empty; give one such as https://example.com")
	}
	switch scheme, _, ok := strings.Cut(s, ":"); {
	case ok && strings.EqualFold(scheme, "javascript"):
		return "", guest.Failf(guest.BadArgument, "a script is no address")
	case !ok || !slices.Contains(schemes, strings.ToLower(scheme)):
		s = "https://" + strings.TrimPrefix(s, "//")
	}
	if _, err := url.Parse(s); err != nil {
		return "", guest.Failf(guest.BadArgument, "%q is no address of a page", clip(s))
	}
	return s, nil
}

// stuckAfter is how long a page may take to answer at all, before it is given up
// to be navigated elsewhere.
const stuckAfter = 2 * time.Second

// alive reports whether a page answers: it has not crashed, and is not stuck in a
// script.
func (p *page) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, stuckAfter)
	defer cancel()
	return p.Call(ctx, "Runtime.evaluate", map[string]any{"expression": "1"}, nil) == nil
}

// replace gives up a page for an empty one, in a process of its own.
func (b *Browser) replace(ctx context.Context, stuck *page) (*page, error) {
	id, err := newPage(ctx, stuck.browser)
	if err != nil {
		return nil, err
	}
	stuck.browser.Tell(ctx, "Target.closeTarget", map[string]any{"targetId": stuck.target})
	p, err := attach(ctx, stuck.browser, id)
	if err == nil {
		p.downloads, p.had = stuck.downloads, stuck.had
	}
	return p, err
}

// errCrashed is what is said of a page that has crashed while it was loading.
var errCrashed = guest.Failf(guest.Unsuccessful, "the page has crashed while it was loading; perhaps there is not enough memory for it")

// open navigates a page, and reports whether it has loaded within the limit.
func (p *page) open(ctx context.Context, address string) (loaded bool, err error) {
	loads := make(chan string, 64)
	defer p.On("Page.lifecycleEvent", func(params json.RawMessage) {
		var e struct{ LoaderID, Name string }
		if json.Unmarshal(params, &e) == nil && e.Name == "load" {
			select {
			case loads <- e.LoaderID:
			default: // a page that loads so often has no end anyway
			}
		}
	})()
	crashed := make(chan struct{}, 1)
	defer p.On("Inspector.targetCrashed", func(json.RawMessage) {
		select {
		case crashed <- struct{}{}:
		default: // that is known
		}
	})()
	if err := p.Tell(ctx, "Inspector.enable", nil); err != nil {
		return false, err
	}
	if err := p.Tell(ctx, "Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}); err != nil {
		return false, err
	}
	var out struct{ LoaderID, ErrorText string }
	if err := p.Call(ctx, "Page.navigate", map[string]any{"url": address}, &out); err != nil {
		return false, err
	}
	switch {
	case out.ErrorText == "net::ERR_ABORTED":
		return false, p.aborted(ctx, crashed)
	case out.ErrorText != "":
		return false, guest.Failf(guest.Unsuccessful, "the browser cannot go to %s: %s", clip(address), out.ErrorText)
	case out.LoaderID == "": // another place in the same document
		return true, nil
	}
	over := time.NewTimer(pageWithin)
	defer over.Stop()
	for {
		select {
		case loader := <-loads:
			if loader == out.LoaderID {
				return true, nil
			}
		case <-over.C:
			return false, nil
		case <-crashed:
			return false, errCrashed
		case <-p.Gone():
			return false, devtools.ErrClosed
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// Bounds of a picture: what Chromium paints at most in one direction, and in all.
const (
	maxPictureSide = 16384
	maxPictureArea = 64 << 20 // pixels
)

// picture takes a picture of a page.
func (b *Browser) picture(ctx context.Context, in tool.PageScreenshotIn) (guest.Answer, error) {
	return b.work(ctx, in.Page, within(in.Timeout), func(ctx context.Context, p *page) (guest.Answer, error) {
		data, err := p.capture(ctx, in, map[string]any{"format": "png"})
		return guest.Text("data:image/png;base64," + data), err
	})
}

// within is how long a caller lets a page take.
func within(seconds *float64) time.Duration {
	if seconds == nil || !(*seconds > 0) {
		return pageWithin
	}
	return time.Duration(min(*seconds, 300) * float64(time.Second))
}

// capture takes a picture of a page, and returns it as base64.
func (p *page) capture(ctx context.Context, in tool.PageScreenshotIn, params map[string]any) (data string, err error) {
	area, err := p.area(ctx, in)
	if err != nil {
		return "", err
	}
	if area != nil {
		params["captureBeyondViewport"] = true
		params["clip"] = map[string]any{"x": area.X, "y": area.Y, "width": area.Width, "height": area.Height, "scale": 1}
	}
	var out struct{ Data string }
	err = p.Call(ctx, "Page.captureScreenshot", params, &out)
	return out.Data, err
}

// area is the part of a page that is wanted; nil is what its window shows.
func (p *page) area(ctx context.Context, in tool.PageScreenshotIn) (*tool.Clip, error) {
	if c := in.Clip; c != nil {
		if !(c.Width >= 1 && c.Height >= 1 && c.Width <= maxPictureSide && c.Height <= maxPictureSide && c.Width*c.Height <= maxPictureArea) {
			return nil, guest.Failf(guest.BadArgument, "a picture cannot be %v × %v pixels", c.Width, c.Height)
		}
		return c, nil
	}
	if in.Full != nil && !*in.Full {
		return nil, nil
	}
	var out struct{ CSSContentSize tool.Clip }
	if err := p.Call(ctx, "Page.getLayoutMetrics", nil, &out); err != nil {
		return nil, err
	}
	whole := out.CSSContentSize
	whole.Width = min(whole.Width, maxPictureSide)
	whole.Height = min(whole.Height, maxPictureSide, maxPictureArea/max(whole.Width, 1))
	return &whole, nil
}

// closePage closes a page. The browser stays open: the last page gives way to an
// empty one.
func (b *Browser) closePage(ctx context.Context, in tool.PageIn) (guest.Answer, error) {
	return b.work(ctx, in.Page, pageWithin, func(ctx context.Context, p *page) (guest.Answer, error) {
		var out struct {
			TargetInfos []struct{ Type string }
		}
		if err := p.browser.Call(ctx, "Target.getTargets", nil, &out); err != nil {
			return guest.Answer{}, err
		}
		pages := 0
		for _, t := range out.TargetInfos {
			if t.Type == "page" {
				pages++
			}
		}
		if pages < 2 {
			if _, err := newPage(ctx, p.browser); err != nil {
				return guest.Answer{}, err
			}
		}
		if err := p.browser.Call(ctx, "Target.closeTarget", map[string]any{"targetId": p.target}, nil); err != nil {
			return guest.Answer{}, err
		}
		select {
		case <-p.Gone():
			return guest.Text("Closed the page"), nil
		case <-ctx.Done():
			return guest.Answer{}, context.Cause(ctx)
		}
	})
}
