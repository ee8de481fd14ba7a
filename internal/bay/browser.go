package bay

import (
	"context"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// BrowserLink opens the session's browser, unless it is open, and returns the
// path of its DevTools at the door to ports.
func (c *caller) BrowserLink(ctx context.Context, id agentbay.SessionID) (string, error) {
	use, err := c.use(ctx, id, "browser link")
	if err != nil {
		return "", err
	}
	path, err := use.browserLink()
	return path, use.end(err)
}

// recordBrowser records a browser that is about to be opened, if the call wants
// that. Arguments that are none are for the guest to refuse.
func (u *use) recordBrowser(c tool.Call) error {
	var in tool.BrowserIn
	if tool.Unmarshal(c.Args, &in) != nil || !in.Record {
		return nil
	}
	return u.replay(&in.Record)
}

// maxBrowserOut bounds what a guest says of its browser, in bytes of JSON.
const maxBrowserOut = 16 << 10

func (u *use) browserLink() (string, error) {
	if !u.session.has(tool.Browser) {
		return "", agentbay.Errorf(agentbay.Invalid, "only BrowserUse image support cdp: a session of %s has no browser; create one of browser_latest or linux_latest", u.session.Image)
	}
	out, err := u.browser()
	if err != nil {
		return "", err
	}
	link := gate.PortPath(string(u.session.ID), guest.BrowserPort, gate.PortToken(u.session.Token, guest.BrowserPort))
	return strings.TrimSuffix(link, "/") + out.Path, nil
}

// browser is the session's browser, which it opens unless it is open.
func (u *use) browser() (out tool.BrowserOut, err error) {
	r, err := ask(u.ctx, u.session, tool.OpenBrowser, tool.BrowserIn{Keep: true}, maxBrowserOut, "answer")
	if err != nil {
		return out, err
	}
	if r.Failed {
		return out, agentbay.Errorf(agentbay.Unavailable, "%s", r.Text)
	}
	if tool.Unmarshal([]byte(r.Text), &out) != nil || !strings.HasPrefix(out.Path, "/devtools/browser/") || strings.ContainsAny(out.Path, "?#") {
		return out, agentbay.Errorf(agentbay.Unavailable, "the session does not say where its browser is")
	}
	return out, nil
}

// closeWithin is how long a session that ends may take to close its browser.
const closeWithin = 10 * time.Second

// closeBrowser has the browser of a session that is to be halted write what it
// has not written of its profile, which may be in a mount. Cookies stay in its
// memory for up to half a minute. If it does not, what it wrote is saved.
func (b *Bay) closeBrowser(s *session) {
	if !s.has(tool.Browser) {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, closeWithin)
	defer cancel()
	_, err := ask(ctx, s, tool.StopChrome, tool.None{}, maxBrowserOut, "answer")
	s.guest.CloseIdle()
	if err != nil {
		b.Log.Info("a session's browser was not closed before it was saved", "session", s.ID, "why", gate.Scrub(err.Error()))
	}
}
