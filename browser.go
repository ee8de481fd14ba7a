package agentbay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A Browser is the browser of a session, Chromium on the session's screen. It is
// driven by whatever speaks the Chrome DevTools Protocol, such as Playwright and
// Puppeteer, at the address that Link returns.
type Browser struct{ session *Session }

// Browser is the session's browser. Sessions of an image without one have none;
// every method then says which images do.
func (s *Session) Browser() Browser { return Browser{s} }

// Open opens the browser with options, and returns once it can be dialled. A
// browser that is open with others is ended first.
//
// Invalid: the options contradict each other or are out of bounds, or the browser
// ended at once; the message says why.
func (b Browser) Open(ctx context.Context, options tool.BrowserIn) error {
	_, err := ask(ctx, b.session, tool.OpenBrowser, options)
	return err
}

// Link returns the address of the browser's DevTools, a WebSocket. It opens the
// browser if it is not open, and is good until the browser ends.
func (b Browser) Link(ctx context.Context) (string, error) {
	return b.session.service.BrowserLink(ctx, b.session.ID)
}

// Close ends the browser.
func (b Browser) Close(ctx context.Context) error {
	_, err := b.session.do(ctx, tool.StopChrome.Name, tool.None{})
	return err
}

// Navigate goes to an address in the browser's active page, and returns a
// sentence about where that has come to. The browser is opened if it is not.
//
// Invalid: the page cannot be reached; the message has the browser's reason.
func (b Browser) Navigate(ctx context.Context, url string) (string, error) {
	return b.session.do(ctx, tool.Navigate.Name, tool.NavigateIn{URL: url})
}

// Screenshot takes a picture of the browser's active page, as a PNG: of all that
// it would show if its window were tall enough, or of what options say.
func (b Browser) Screenshot(ctx context.Context, options tool.PageScreenshotIn) ([]byte, error) {
	return b.data(ctx, tool.PageScreenshot.Name, options, "data:image/png;base64,")
}

// PDF prints the browser's active page, on A4 paper if options do not say.
//
// Invalid: options are; the message says which.
func (b Browser) PDF(ctx context.Context, options tool.PagePDFIn) ([]byte, error) {
	return b.data(ctx, tool.PagePDF.Name, options, "data:application/pdf;base64,")
}

// data is what a tool answers with as a data URL, which begins with prefix.
func (b Browser) data(ctx context.Context, name string, options any, prefix string) ([]byte, error) {
	text, err := b.session.do(ctx, name, options)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, Errorf(Unavailable, "the session's answer to %s has another form than expected", name)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	return data, Wrap(err, Unavailable, "the session's answer to %s has another form than expected", name)
}

// ClosePage closes the browser's active page; the browser stays open.
func (b Browser) ClosePage(ctx context.Context) error {
	_, err := b.session.do(ctx, tool.ClosePage.Name, tool.PageIn{})
	return err
}

// Act has the bay's model do something in the browser's active page, or does what
// Observe has found, for which no model is needed. That it could not be done is no
// error: the result says so, and what was tried.
//
// Invalid: the bay has no model.
func (b Browser) Act(ctx context.Context, in tool.ActIn) (*tool.ActOut, error) {
	begun, err := ask(ctx, b.session, tool.ActAsync, in)
	if err != nil {
		return nil, err
	}
	var out tool.ActOut
	err = until(ctx, func() (bool, error) {
		out, err = ask(ctx, b.session, tool.ActResult, tool.TaskIn(begun))
		return out.Done, err
	})
	return &out, err
}

// Observe has the bay's model look for what can be acted upon in the browser's
// active page.
//
// Invalid: the bay has no model, or the task has failed; the message says why.
func (b Browser) Observe(ctx context.Context, in tool.ObserveIn) ([]tool.Observation, error) {
	begun, err := ask(ctx, b.session, tool.ObserveAsync, in)
	if err != nil {
		return nil, err
	}
	var found []tool.Observation
	err = b.answer(ctx, begun, tool.ObserveResult.Name, &found)
	return found, err
}

// Extract has the bay's model read the browser's active page into what out points
// to, which in.Schema describes.
//
// Invalid: the bay has no model, or the task has failed; the message says why.
func (b Browser) Extract(ctx context.Context, in tool.ExtractIn, out any) error {
	begun, err := ask(ctx, b.session, tool.ExtractAsync, in)
	if err != nil {
		return err
	}
	return b.answer(ctx, begun, tool.ExtractResult.Name, out)
}

// Execute has the bay's model do a task that may lead over many pages, and returns
// its answer: text, or JSON as in.Schema has it. If ctx ends before, the task is
// terminated.
//
// Invalid: the bay has no model, or the task has failed; the message says why.
func (b Browser) Execute(ctx context.Context, in tool.ExecuteIn) (string, error) {
	begun, err := ask(ctx, b.session, tool.ExecuteTask, in)
	if err != nil {
		return "", err
	}
	var out tool.TaskStatusOut
	err = until(ctx, func() (bool, error) {
		out, err = ask(ctx, b.session, tool.TaskStatus, tool.TaskIn(begun))
		return out.Status != tool.TaskRunning, err
	})
	if ctx.Err() != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), terminateWithin)
		defer cancel()
		_, _ = b.session.Call(end, tool.TerminateTask.Name, tool.TaskIn(begun)) // it may have ended by itself
	}
	if err == nil && out.Status == tool.TaskFailed {
		err = Errorf(Invalid, "the task has failed: %s", out.Error)
	}
	return out.Product, err
}

// terminateWithin is how long the end of a task is waited for that nobody wants.
const terminateWithin = 10 * time.Second

// answer waits for the answer of a task, which is JSON.
func (b Browser) answer(ctx context.Context, begun tool.TaskOut, result string, out any) error {
	return until(ctx, func() (bool, error) {
		r, err := b.session.Call(ctx, result, tool.TaskIn(begun))
		switch {
		case err != nil:
			return false, err
		case r.Failed && strings.HasSuffix(r.Text, "is still under way"):
			return false, nil
		case r.Failed:
			return false, Errorf(Invalid, "%s: %s", result, r.Text)
		}
		return true, Wrap(json.Unmarshal([]byte(r.Text), out), Invalid, "what was read does not fit")
	})
}

// Action is what an observation says can be done, for Act.
func Action(o tool.Observation) string {
	b, err := json.Marshal(map[string]any{"method": o.Method, "arguments": json.RawMessage(o.Arguments)})
	if err != nil {
		return "" // of an observation that is none
	}
	return string(b)
}

// browserProfile is where the browser keeps its profile in a session.
const browserProfile = "/tmp/agentbay_browser"

// BrowserProfile mounts a context as the profile of a session's browser, so that
// cookies, logins and what sites store are there again in the next session that
// mounts it. Caches are not kept. The session closes its browser before its
// contexts are saved for the last time, so nothing of the profile is missing then.
func BrowserProfile(id ContextID) ContextMount {
	m := ContextMount{Context: id, Path: browserProfile, Policy: DefaultSyncPolicy}
	m.Policy.WhiteList = []WhiteList{{Path: "Local State"}}
	for _, name := range []string{
		"Cookies", "Cookies-journal", "Local Storage", "IndexedDB", "Session Storage", "Preferences", "Secure Preferences",
		"Login Data", "Login Data-journal", "Login Data For Account", "Login Data For Account-journal",
		"Web Data", "Web Data-journal", "Affiliation Database", "Affiliation Database-journal",
		"TransportSecurity", "Network Persistent State",
	} {
		m.Policy.WhiteList = append(m.Policy.WhiteList, WhiteList{Path: "Default/" + name})
	}
	return m
}

// BrowserFingerprints is where a session's browser finds the fingerprint of
// [BrowserFingerprint]: the [tool.BrowserIn.KeepFingerprint] to open it with.
const BrowserFingerprints = "/tmp/browser_fingerprint"

// BrowserFingerprint mounts a context that keeps the fingerprint of a session's
// browser, so that it looks the same in the next session that mounts it.
func BrowserFingerprint(id ContextID) ContextMount {
	m := ContextMount{Context: id, Path: BrowserFingerprints, Policy: DefaultSyncPolicy}
	m.Policy.WhiteList = []WhiteList{{Path: "fingerprint.json"}}
	return m
}

// browserExtensions is where the browser has its extensions in a session, each in
// a directory of its own.
const browserExtensions = "/tmp/extensions"

// BrowserExtensions mounts archives of a context, which were put at
// /tmp/extensions/NAME.zip, as extensions of a session's browser, each unpacked
// to /tmp/extensions/NAME. Opened with that as its [tool.BrowserIn.ExtensionPath],
// the browser loads them. An archive that cannot be unpacked stays as it is, and
// is no extension. No names means all there are.
func BrowserExtensions(id ContextID, names ...string) ContextMount {
	m := ContextMount{Context: id, Path: browserExtensions, Policy: DefaultSyncPolicy}
	m.Policy.ManualUpload = true
	for _, name := range names {
		m.Policy.WhiteList = append(m.Policy.WhiteList, WhiteList{Path: name})
	}
	return m
}
