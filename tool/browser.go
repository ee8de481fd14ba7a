package tool

// The browser family. DevTools are reached through a link to the port that
// open_browser tells.
var (
	// OpenBrowser returns once DevTools can be dialled. A browser that is open with
	// the same options, or with any if Keep is set, is left as it is; one with other
	// options is ended first.
	OpenBrowser = define[BrowserIn, BrowserOut](Browser, "open_browser", "Open the browser on the screen, and return where its DevTools are.")
	StopChrome  = define[None, Text](Browser, "stopChrome", "End the browser.")
)

// BrowserIn is how a browser is opened.
type BrowserIn struct {
	Keep          bool           `json:"keep,omitempty" doc:"leave a browser as it is that is open already"`
	UserAgent     string         `json:"userAgent,omitempty" doc:"what the browser calls itself"`
	Viewport      *BrowserSize   `json:"viewport,omitempty" doc:"size of its window, unless screen says"`
	Screen        *BrowserSize   `json:"screen,omitempty" doc:"size of its window"`
	CmdArgs       []string       `json:"cmdArgs,omitempty" doc:"further switches of Chromium's command line"`
	DefaultURL    string         `json:"defaultNavigateUrl,omitempty" doc:"the first page"`
	Type          string         `json:"browserType,omitempty" doc:"chrome or chromium; both are Chromium"`
	ExtensionPath string         `json:"extensionPath,omitempty" doc:"directory whose directories are extensions to be loaded"`
	Proxies       []BrowserProxy `json:"proxies,omitempty" doc:"at most one proxy for all that the browser asks for"`
}

// A BrowserSize is a number of pixels in each direction.
type BrowserSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// A BrowserProxy is where a browser sends what it asks for.
type BrowserProxy struct {
	Type     string `json:"type,omitempty" doc:"custom"`
	Server   string `json:"server,omitempty" doc:"address, such as http://10.0.0.1:3128 or socks5://10.0.0.1:1080"`
	Username string `json:"username,omitempty" doc:"not offered yet"`
	Password string `json:"password,omitempty" doc:"not offered yet"`
}

// BrowserOut is where a browser's DevTools are.
type BrowserOut struct {
	Port int    `json:"port"` // of the session's loopback
	Path string `json:"path"` // of the browser's WebSocket there
}
