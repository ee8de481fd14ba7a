package agentbay

import (
	"context"

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
