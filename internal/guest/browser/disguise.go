package browser

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/internal/guest/fingerprint"
	"github.com/agentbay/agentbay/tool"
)

// A disguise is a fingerprint that a browser has for all its pages, frames and
// workers. Each waits, before any script of its own, until it has been dressed.
type disguise struct {
	print  *fingerprint.Fingerprint
	dir    string // that it is kept in, if any
	script string
}

// disguiseOf is the disguise that a caller wants; nil if none. Without stealth
// there is none, whatever else is said.
func disguiseOf(in tool.BrowserIn) (*disguise, error) {
	if !in.Stealth {
		return nil, nil
	}
	print, err := printOf(in)
	if err != nil {
		return nil, guest.Failf(guest.BadArgument, "%v", err)
	}
	return &disguise{print: print, dir: in.KeepFingerprint}, nil
}

// printOf is a fingerprint: the caller's, else the one that was kept, else one
// that is made up. With a user agent, or without any wish, the browser
// stays what it is, but for its video card: it has none.
func printOf(in tool.BrowserIn) (*fingerprint.Fingerprint, error) {
	if in.RawFingerprint != "" {
		return fingerprint.ParseBase64(in.RawFingerprint)
	}
	if f, err := kept(in.KeepFingerprint); f != nil || err != nil {
		return f, err
	}
	if in.UserAgent != "" || in.Fingerprint == nil && in.KeepFingerprint == "" {
		return &fingerprint.Fingerprint{VideoCard: fingerprint.VideoCard{Vendor: "Google Inc. (Intel)", Renderer: "ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)"}}, nil
	}
	var wish tool.FingerprintWish
	if in.Fingerprint != nil {
		wish = *in.Fingerprint
	}
	var least tool.BrowserSize
	if in.Screen != nil {
		least = *in.Screen
	}
	return fingerprint.Random(wish, least.Width, least.Height)
}

// environment is what a browser that is going to wear it is started with besides.
func (d *disguise) environment() []string {
	if d == nil || d.print.Zone() == "" {
		return nil
	}
	return []string{"TZ=" + d.print.Zone()}
}

// put has a browser wear it, from now on, and keeps it.
func (d *disguise) put(ctx context.Context, s devtools.Session) error {
	var version struct{ Product string }
	if err := s.Call(ctx, "Browser.getVersion", nil, &version); err != nil {
		return err
	}
	_, number, _ := strings.Cut(version.Product, "/")
	d.print.Become(number)
	d.script = d.print.Script()
	if err := keep(d.dir, d.print); err != nil {
		return err
	}
	return d.wear(s)
}

// printFile is what a fingerprint is called in the directory that it is kept in.
const printFile = "fingerprint.json"

// kept is the fingerprint of a directory; nil if it has none.
func kept(dir string) (*fingerprint.Fingerprint, error) {
	if dir == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, printFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return fingerprint.Parse(b)
}

// keep keeps a fingerprint in a directory, if there is one, and it is one.
func keep(dir string, f *fingerprint.Fingerprint) error {
	if dir == "" || f.Navigator.UserAgent == "" {
		return nil
	}
	b, err := f.Document()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, printFile), b, 0o600)
}

// wear dresses what a target has of others, now and later: a browser its pages, a
// page its frames and workers. It returns when those that there are
// have been dressed.
func (d *disguise) wear(s devtools.Session) error {
	ctx, cancel := context.WithTimeout(context.Background(), dressWithin)
	defer cancel()
	return s.Attach(ctx, devtools.Attacher{Attached: d.dress})
}

// metadata is the parts of a user agent as DevTools want them: with the version of
// the browser for those who ask for it by its old name.
type metadata struct {
	*fingerprint.UserAgentData
	FullVersion string `json:"fullVersion,omitempty"`
}

// dressWithin is how long a target that is up already may take to be dressed.
const dressWithin = 5 * time.Second

// dress dresses a target, and then lets it go on. What targets of its kind do not
// know, they refuse.
func (d *disguise) dress(s devtools.Session, t devtools.Target) {
	ctx, cancel := context.WithTimeout(context.Background(), dressWithin)
	defer cancel()
	tell := s.Teller(ctx, t)
	defer tell("Runtime.runIfWaitingForDebugger", nil)
	n := d.print.Navigator
	if n.UserAgent != "" {
		agent := map[string]any{"userAgent": n.UserAgent, "platform": n.Platform, "acceptLanguage": strings.Join(n.Languages, ",")}
		if u := n.UserAgentData; u != nil {
			agent["userAgentMetadata"] = metadata{u, u.Version()}
		}
		tell("Emulation.setUserAgentOverride", agent)
	}
	if t.Type != "page" && t.Type != "iframe" {
		tell("Runtime.evaluate", map[string]any{"expression": d.script})
		go d.wear(s)
		return
	}
	tell("Page.enable", nil)
	tell("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": d.script, "runImmediately": true})
	if len(n.Languages) > 0 {
		tell("Emulation.setLocaleOverride", map[string]any{"locale": n.Languages[0]})
	}
	if screen := d.print.Screen; t.Type == "page" && d.print.Mobile() && screen.Width > 0 && screen.Height > 0 {
		tell("Emulation.setDeviceMetricsOverride", map[string]any{
			"width": screen.Width, "height": screen.Height, "screenWidth": screen.Width, "screenHeight": screen.Height,
			"deviceScaleFactor": screen.DevicePixelRatio, "mobile": true,
		})
		tell("Emulation.setTouchEmulationEnabled", map[string]any{"enabled": true, "maxTouchPoints": max(n.MaxTouchPoints, 1)})
	}
	go d.wear(s)
}
