package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// Bounds of what callers ask for.
const (
	maxSide     = 16384
	maxSwitches = 100
)

// arguments is Chromium's command line. What is in options that cannot be, or
// contradicts itself, is refused.
func (b *Browser) arguments(in tool.BrowserIn) ([]string, error) {
	switch strings.ToLower(in.Type) {
	case "", "chrome", "chromium":
	default:
		return nil, guest.Failf(guest.BadArgument, "there is no browser %q; use chrome or chromium", in.Type)
	}
	if strings.HasPrefix(in.DefaultURL, "-") {
		return nil, guest.Failf(guest.BadArgument, "%q is no address of a page", in.DefaultURL)
	}
	args := []string{
		fmt.Sprintf("--remote-debugging-port=%d", b.Port), "--remote-allow-origins=*", "--user-data-dir=" + b.Profile,
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
		// Pages that are not in front are worked on as well.
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		"--disable-back-forward-cache", // of pages that were left, things would seem to be there
		"--noerrdialogs",               // an extension that cannot be loaded would keep the browser from opening until it is read
		"--disable-features=" + withoutFeatures,
	}
	if in.UserAgent != "" {
		args = append(args, "--user-agent="+in.UserAgent)
	}
	size, err := sizeOf(in)
	if err != nil {
		return nil, err
	}
	if size != nil {
		args = append(args, fmt.Sprintf("--window-size=%d,%d", size.Width, size.Height))
	}
	if list := extensions(in.ExtensionPath); len(list) > 0 {
		args = append(args, "--load-extension="+strings.Join(list, ","))
	}
	if in.Stealth {
		args = append(args, "--disable-blink-features=AutomationControlled")
	}
	if args, err = withSwitches(args, in); err != nil {
		return nil, err
	}
	if in.DefaultURL != "" && !b.goesLater(in) {
		args = append(args, in.DefaultURL)
	}
	return args, nil
}

// withoutFeatures is what Chromium does without. What it drops down from the address
// bar would be two pages more for each window, of 50 MB. It has all of what the
// image's /etc/chromium.d has, as this list replaces that.
const withoutFeatures = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,DisableLoadExtensionCommandLineSwitch"

// sizeOf is the size of the window, at first: that of the viewport, else of the
// screen; nil if neither is said.
func sizeOf(in tool.BrowserIn) (*tool.BrowserSize, error) {
	size := in.Viewport
	if size == nil {
		size = in.Screen
	}
	if size != nil && (size.Width < 1 || size.Height < 1 || size.Width > maxSide || size.Height > maxSide) {
		return nil, guest.Failf(guest.BadArgument, "a browser cannot be %d × %d pixels", size.Width, size.Height)
	}
	return size, nil
}

// withSwitches adds a caller's switches to those of the options. Chromium heeds
// the last of two with the same name: lists are made one, and others refused.
func withSwitches(args []string, in tool.BrowserIn) ([]string, error) {
	if len(in.CmdArgs) > maxSwitches {
		return nil, guest.Failf(guest.BadArgument, "a browser takes at most %d switches", maxSwitches)
	}
	for _, a := range in.CmdArgs {
		if err := checkSwitch(a, in); err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(a, "=")
		i := slices.IndexFunc(args, func(s string) bool { return s == name || strings.HasPrefix(s, name+"=") })
		switch {
		case i < 0:
			args = append(args, a)
		case isList(name):
			args[i] += "," + value
		case args[i] != a:
			return nil, guest.Failf(guest.BadArgument, "%s contradicts %s, which other options say; leave one of them out", clip(a), clip(args[i]))
		}
	}
	return args, nil
}

// isList reports whether a switch has a list, which can be made longer.
func isList(name string) bool {
	return strings.HasSuffix(name, "-features") || name == "--load-extension"
}

// ours are the switches that the session needs as they are.
var ours = []string{"--remote-debugging-", "--remote-allow-origins", "--user-data-dir"}

// proxySwitches say which proxy there is, in place of the option.
var proxySwitches = []string{"--proxy-server", "--proxy-pac-url", "--proxy-auto-detect", "--no-proxy-server"}

func checkSwitch(s string, in tool.BrowserIn) error {
	if !strings.HasPrefix(s, "--") {
		return guest.Failf(guest.BadArgument, "%q is no switch; one begins with --", s)
	}
	for _, o := range ours {
		if strings.HasPrefix(s, o) {
			return guest.Failf(guest.BadArgument, "the switch %s is set by the session", s)
		}
	}
	if name, _, _ := strings.Cut(s, "="); len(in.Proxies) > 0 && slices.Contains(proxySwitches, name) {
		return guest.Failf(guest.BadArgument, "the switch %s contradicts the option proxies; leave one of them out", clip(s))
	}
	return nil
}

// extensions is the directories in a directory; there may be none.
func extensions(dir string) (list []string) {
	if dir == "" {
		return nil
	}
	entries, _ := os.ReadDir(dir) // it need not be there
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(e.Name(), ",") {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list
}
