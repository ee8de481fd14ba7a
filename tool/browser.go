package tool

// The browser family. DevTools are reached through a link to the port that
// open_browser tells.
var (
	// OpenBrowser returns once DevTools can be dialled. A browser that is open with
	// the same options, or with any if Keep is set, is left as it is; one with other
	// options is ended first.
	OpenBrowser = define[BrowserIn, BrowserOut](Browser, "open_browser", "Open the browser on the screen, and return where its DevTools are.")
	StopChrome  = define[None, Text](Browser, "stopChrome", "End the browser.")

	// Navigate answers once the page has loaded, or after half a minute while it
	// still does, with where it has come to.
	Navigate = acting[NavigateIn, Text](Browser, "page_use_navigate", "Go to an address in the browser's active page.")
	// PageScreenshot answers with a PNG as a data URL.
	PageScreenshot = define[PageScreenshotIn, Text](Browser, "page_use_screenshot", "Take a picture of the browser's active page, or of all that it would show.")
	// PagePDF answers with a PDF as a data URL.
	PagePDF   = define[PagePDFIn, Text](Browser, "page_use_pdf", "Print the browser's active page as a PDF.")
	ClosePage = acting[PageIn, Text](Browser, "page_use_close_session", "Close the browser's active page.")

	// PageSnapshot writes a page as text for a model: a line for each thing, with its
	// role, name and state, indented as it is nested, frames and shadow trees
	// included. What can be acted upon has a reference, such as [e12], which is good
	// until the page is left.
	PageSnapshot = define[PageSnapshotIn, PageSnapshotOut](Browser, "page_use_snapshot", "Write the browser's active page as text, with a reference for each thing in it.")
	// PagePerform returns once the page is quiet again, or after some seconds.
	PagePerform = acting[PagePerformIn, Text](Browser, "page_use_perform", "Do one thing in the browser's active page, such as a click.")
	// PageLocate answers with an XPath for each reference, empty for what has none,
	// as things in frames and shadow trees.
	PageLocate = define[PageLocateIn, []string](Browser, "page_use_locate", "Tell where things are in the browser's active page.")
)

// What a model does on a page. The host answers these. Each begins a task, which
// goes on until it is done, its time is over or the session ends; its result is
// asked for by another tool, or waited for by the tool whose name is without
// async.
var (
	// ActAsync does what its action says: in words, or as ObserveAsync found it,
	// which needs no model.
	ActAsync  = acting[ActIn, TaskOut](Browser, "page_use_act_async", "Have a model begin to do something in the browser's active page.")
	ActResult = define[TaskIn, ActOut](Browser, "page_use_get_act_result", "Tell how far an action is.")
	Act       = acting[ActIn, ActOut](Browser, "page_use_act", "Have a model do something in the browser's active page.")
	// ObserveResult fails while the task is under way.
	ObserveAsync  = define[ObserveIn, TaskOut](Browser, "page_use_observe_async", "Have a model begin to look for what can be acted upon in the browser's active page.")
	ObserveResult = define[TaskIn, []Observation](Browser, "page_use_get_observe_result", "Tell what was found.")
	Observe       = define[ObserveIn, []Observation](Browser, "page_use_observe", "Have a model look for what can be acted upon in the browser's active page.")
	// ExtractResult answers with JSON as the schema has it, and fails while the task
	// is under way.
	ExtractAsync  = acting[ExtractIn, TaskOut](Browser, "page_use_extract_async", "Have a model begin to read the browser's active page by a JSON schema.")
	ExtractResult = define[TaskIn, Text](Browser, "page_use_get_extract_result", "Tell what was read.")
	Extract       = acting[ExtractIn, Text](Browser, "page_use_extract", "Have a model read the browser's active page by a JSON schema.")
)

// Longer tasks, which may lead over many pages and end with an answer. The host
// answers these, too.
var (
	ExecuteTask = acting[ExecuteIn, TaskOut](Browser, "browser_use_execute_task", "Have a model begin a task that may lead over many pages, and end with an answer.")
	TaskStatus  = define[TaskIn, TaskStatusOut](Browser, "browser_use_get_task_status", "Tell how far a task is, and its answer.")
	// TerminateTask returns once nothing more is done for the task.
	TerminateTask = define[TaskIn, TaskStatusOut](Browser, "browser_use_terminate_task", "End a task at once.")

	// Login always fails: a login by a named skill is a service that the host does not
	// have. It says what to use instead.
	Login = acting[LoginIn, Text](Browser, "page_use_login", "Log in by a service's skill, which this bay has none of.")
)

// What page_use_perform can do.
const (
	PageClick       = "click"
	PageDoubleClick = "double_click"
	PageHover       = "hover"
	PageFill        = "fill"   // text replaces what a field holds
	PageType        = "type"   // text is typed after it
	PagePress       = "press"  // key, into a field or wherever the focus is
	PageSelect      = "select" // the option called text
	PageScroll      = "scroll" // by so many screens, down if positive
	PageGoto        = "goto"   // the address text
	PageBack        = "back"   // to the page before
	PageWait        = "wait"   // seconds
)

// PageMethods is all of them.
var PageMethods = []string{PageClick, PageDoubleClick, PageHover, PageFill, PageType, PagePress, PageSelect, PageScroll, PageGoto, PageBack, PageWait}

// BrowserIn is how a browser is opened.
type BrowserIn struct {
	Keep          bool           `json:"keep,omitempty" doc:"leave a browser as it is that is open already"`
	UserAgent     string         `json:"userAgent,omitempty" doc:"what the browser calls itself"`
	Viewport      *BrowserSize   `json:"viewport,omitempty" doc:"size that pages have in its window"`
	Screen        *BrowserSize   `json:"screen,omitempty" doc:"size of its window, unless there is a viewport"`
	CmdArgs       []string       `json:"cmdArgs,omitempty" doc:"further switches of Chromium's command line"`
	DefaultURL    string         `json:"defaultNavigateUrl,omitempty" doc:"the first page"`
	Type          string         `json:"browserType,omitempty" doc:"chrome or chromium; both are Chromium"`
	ExtensionPath string         `json:"extensionPath,omitempty" doc:"directory whose directories are extensions to be loaded"`
	Proxies       []BrowserProxy `json:"proxies,omitempty" doc:"at most one proxy for all that the browser asks for"`

	Stealth         bool             `json:"useStealth,omitempty" doc:"do not look like a browser that is driven by a program; what follows needs it"`
	Fingerprint     *FingerprintWish `json:"fingerprint,omitempty" doc:"look like another browser, of a random one of these kinds; not with a user agent"`
	RawFingerprint  string           `json:"fingerprintRawData,omitempty" doc:"look like a browser whose fingerprint this is, as JSON in base64"`
	KeepFingerprint string           `json:"fingerprintPersistPath,omitempty" doc:"directory that a fingerprint is kept in, and used again from"`
	Record          bool             `json:"enableRecord,omitempty" doc:"record what pages show from now on, to be played later"`
	CallForUser     bool             `json:"callForUser,omitempty" doc:"what a model does on pages may call for a person, for three minutes unless the task says how long"`
}

// A FingerprintWish is what a random fingerprint is to be. Empty lists leave it open.
type FingerprintWish struct {
	Devices []string `json:"devices,omitempty" doc:"desktop or mobile"`
	Systems []string `json:"operatingSystems,omitempty" doc:"windows, macos, linux, android or ios"`
	Locales []string `json:"locales,omitempty" doc:"languages, such as zh-CN"`
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
	Username string `json:"username,omitempty" doc:"for proxies that want one"`
	Password string `json:"password,omitempty" doc:"for proxies that want one"`
}

// BrowserOut is where a browser's DevTools are.
type BrowserOut struct {
	Port int    `json:"port"` // of the session's loopback
	Path string `json:"path"` // of the browser's WebSocket there

	// CallForUser says that it was opened for a model that may call for a person.
	CallForUser bool `json:"callForUser,omitempty"`
}

// PageIn is a page of the browser.
type PageIn struct {
	Context int    `json:"context_id,omitempty" doc:"ignored; a page says in which context it is"`
	Page    string `json:"page_id,omitempty" doc:"target ID of the page, as DevTools have it; the active page if there is none"`
}

// NavigateIn is where to go.
type NavigateIn struct {
	PageIn
	URL string `json:"url" doc:"address, such as https://example.com; https if it does not say"`
}

// PageScreenshotIn is what a picture of a page is to show.
type PageScreenshotIn struct {
	PageIn
	Full    *bool    `json:"full_page,omitempty" doc:"all that the page would show if its window were tall enough; the default"`
	Clip    *Clip    `json:"clip,omitempty" doc:"a part of the page instead"`
	Quality int      `json:"quality,omitempty" doc:"ignored; the picture loses nothing"`
	Timeout *float64 `json:"timeout,omitempty" doc:"seconds that it may take"`
}

// PagePDFIn is how a page is printed.
type PagePDFIn struct {
	PageIn
	Paper      string   `json:"format,omitempty" doc:"a3, a4, a5, letter, legal or tabloid; a4 if not said"`
	Landscape  bool     `json:"landscape,omitempty" doc:"with the paper on its side"`
	Background bool     `json:"print_background,omitempty" doc:"with background colours and pictures"`
	Ranges     string   `json:"page_ranges,omitempty" doc:"sheets that are wanted, such as 1-3, 8; all if not said"`
	Timeout    *float64 `json:"timeout,omitempty" doc:"seconds that it may take"`
}

// A Clip is a part of a page, in CSS pixels from its upper left corner.
type Clip struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// PageSnapshotIn is what of a page is to be written.
type PageSnapshotIn struct {
	PageIn
	Selector string `json:"selector,omitempty" doc:"CSS selector, or xpath= and an XPath, of the part that is wanted"`
	Limit    int    `json:"limit,omitempty" doc:"bytes of text at most; 0 means 60000"`
	Vision   bool   `json:"vision,omitempty" doc:"take a picture of what is shown, too"`
	Full     bool   `json:"full,omitempty" doc:"have the picture show all of the page"`
}

// PageSnapshotOut is a page as text.
type PageSnapshotOut struct {
	Page    string `json:"page_id"` // its target ID
	URL     string `json:"url"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	Cut     bool   `json:"cut,omitempty"`     // there is more text than the limit
	Picture string `json:"picture,omitempty"` // a JPEG as base64
}

// PagePerformIn is one thing to be done in a page.
type PagePerformIn struct {
	PageIn
	Method   string  `json:"method" doc:"click, double_click, hover, fill, type, press, select, scroll, goto, back or wait"`
	Ref      string  `json:"ref,omitempty" doc:"reference of a snapshot, such as e12"`
	Selector string  `json:"selector,omitempty" doc:"CSS selector, or xpath= and an XPath, instead of a reference"`
	Text     string  `json:"text,omitempty" doc:"what to fill in, type or select, or where to go"`
	Key      string  `json:"key,omitempty" doc:"key to press, such as Enter or Control+a"`
	Amount   float64 `json:"amount,omitempty" doc:"screens to scroll, or seconds to wait"`
	Dialog   string  `json:"dialog,omitempty" doc:"accept or dismiss what the page asks in a dialog meanwhile; dismiss if not said"`
}

// PageLocateIn is what is to be found in a page.
type PageLocateIn struct {
	PageIn
	Refs []string `json:"refs" doc:"references of a snapshot"`
}

// ActIn is what a model is to do.
type ActIn struct {
	PageIn
	Action    string            `json:"action" doc:"what to do, in words; or what was observed, as JSON with method and arguments"`
	Variables map[string]string `json:"variables,omitempty" doc:"values that %name% in the action stands for, which the model does not see"`
	Vision    bool              `json:"use_vision,omitempty" doc:"show the model a picture of the page, too"`
	Timeout   *float64          `json:"timeout,omitempty" doc:"seconds that it may take, by default 300"`
	Help      float64           `json:"help_timeout,omitempty" doc:"seconds that the people at the screen may take whom the model asks for help, such as with a captcha; 0 means that it asks nobody"`
}

// ObserveIn is what a model is to look for.
type ObserveIn struct {
	PageIn
	Instruction string   `json:"instruction" doc:"what to look for, in words"`
	Selector    string   `json:"selector,omitempty" doc:"CSS selector, or xpath= and an XPath, of the part of the page to look at"`
	Vision      bool     `json:"use_vision,omitempty" doc:"show the model a picture of the page, too"`
	Timeout     *float64 `json:"timeout,omitempty" doc:"seconds that it may take, by default 300"`
}

// ExtractIn is what a model is to read.
type ExtractIn struct {
	PageIn
	Instruction string   `json:"instruction" doc:"what to read, in words"`
	Schema      string   `json:"field_schema" doc:"JSON schema of what is read; it may be headed schema:"`
	Selector    string   `json:"selector,omitempty" doc:"CSS selector, or xpath= and an XPath, of the part of the page to read"`
	AsText      bool     `json:"use_text_extract,omitempty" doc:"ignored; pages are read as text, and pictured only if use_vision says"`
	Vision      bool     `json:"use_vision,omitempty" doc:"show the model a picture of the page, too"`
	Pages       int      `json:"max_page,omitempty" doc:"on how many pages of a list to read at most, by default one"`
	Timeout     *float64 `json:"timeout,omitempty" doc:"seconds that it may take, by default 300"`
}

// ExecuteIn is a task for a model.
type ExecuteIn struct {
	Task   string  `json:"task" doc:"what to do and to find out, in words"`
	Vision bool    `json:"use_vision,omitempty" doc:"show the model pictures of the pages, too"`
	Full   bool    `json:"full_page_screenshot,omitempty" doc:"have the pictures show all of each page"`
	Schema string  `json:"output_schema,omitempty" doc:"JSON schema of the answer, which is text without one"`
	Help   float64 `json:"help_timeout,omitempty" doc:"seconds that the people at the screen may take whom the model asks for help; 0 means that it asks nobody"`
}

// LoginIn is a login by a service.
type LoginIn struct {
	PageIn
	Config string `json:"login_config" doc:"JSON of the service"`
	Vision bool   `json:"use_vision,omitempty" doc:"ignored"`
}

// The states of a task.
const (
	TaskRunning  = "running"
	TaskFinished = "finished"
	TaskFailed   = "failed"
)

// TaskStatusOut is how far a task is.
type TaskStatusOut struct {
	ID      string `json:"task_id"`
	Status  string `json:"status"`  // TaskRunning, TaskFinished or TaskFailed
	Action  string `json:"action"`  // what was done last
	Product string `json:"product"` // the answer once it is finished: text, or JSON as its schema has it
	Error   string `json:"error,omitempty"`
}

// TaskOut is a task that has begun.
type TaskOut struct {
	ID string `json:"task_id"`
}

// TaskIn is a task that was begun.
type TaskIn struct {
	ID string `json:"task_id" doc:"as the tool that began it has told"`
}

// ActOut is how far an action is.
type ActOut struct {
	ID      string `json:"task_id"`
	Done    bool   `json:"is_done"`
	Success bool   `json:"success"`
	Steps   string `json:"steps"` // what was done, and what the model has to say of it
}

// An Observation is something in a page, and what can be done with it.
type Observation struct {
	Selector    string `json:"selector"` // an XPath; empty for what has none, as in frames
	Description string `json:"description"`
	Method      string `json:"method"`
	Arguments   string `json:"arguments"` // a JSON object
}
