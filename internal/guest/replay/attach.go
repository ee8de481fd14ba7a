package replay

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/internal/rrweb"
)

// binding is what the function is called by which a page's recorder sends what it
// has seen. It is gone from the page before any script of the page runs.
//
// In the world of a hidden browser's recorder it is a function that waits for what
// was seen: to be sent it, Runtime.enable is needed, which pages notice.
const binding = "__agentbayReplay"

// world is what the world is called in which the recorder of a hidden browser's
// pages runs: it sees their documents, and they see nothing of it.
const world = "agentbay-replay"

//go:embed page.js
var pageScript string

// script is what each document runs first.
func script(hidden bool) string {
	page := strings.NewReplacer("BINDING", binding, "HIDDEN", strconv.FormatBool(hidden)).Replace(pageScript)
	return "(() => { const module = { exports: {} }, exports = module.exports, define = undefined;\n" + rrweb.Recorder() +
		"\nconst record = module.exports.record;\n" + page + "\n})();"
}

// An attachment is a connection by which a browser is recorded.
type attachment struct {
	recorder *Recorder
	browser  browser
	conn     *devtools.Conn
	tape     *tape
	script   string
	bodies   chan struct{} // a token for each body that is being read

	mu     sync.Mutex
	assets map[string]bool // addresses of those that were taken; guarded by mu
	pages  map[string]page // by the names of their sessions; guarded by mu
}

// A page is one that is open.
type page struct {
	number int
	gone   context.CancelFunc
}

// attach records all pages of a browser, and returns when those that there are
// have been attached to. It needs r.tape.
func (r *Recorder) attach(ctx context.Context, b browser) (*attachment, error) {
	conn, err := devtools.Dial(ctx, b.address)
	if err != nil {
		return nil, err
	}
	a := &attachment{recorder: r, browser: b, conn: conn, tape: r.tape, script: script(b.hidden), bodies: make(chan struct{}, maxBodies), assets: map[string]bool{}, pages: map[string]page{}}
	if err := conn.Browser().Attach(ctx, devtools.Attacher{Types: []string{"page"}, Attached: a.recordPage, Detached: a.pageClosed}); err != nil {
		conn.Close()
		return nil, err
	}
	return a, nil
}

// recordPage records a page that was opened.
func (a *attachment) recordPage(s devtools.Session, t devtools.Target) {
	ctx, gone := context.WithCancel(context.Background())
	p := page{int(a.recorder.pages.Add(1)), gone}
	a.mu.Lock()
	a.pages[s.ID] = p
	a.mu.Unlock()
	a.tape.add(pageLine, mark{pageLine, now(), p.number})
	n := a.record(s, t, p.number)
	if a.browser.hidden {
		go n.ask(ctx, t.ID)
	}
}

func (a *attachment) pageClosed(s devtools.Session) {
	a.mu.Lock()
	p, ok := a.pages[s.ID]
	delete(a.pages, s.ID)
	a.mu.Unlock()
	if ok {
		p.gone()
		a.tape.add(closedLine, mark{closedLine, now(), p.number})
	}
}

// tellWithin is how long it may take to tell a page that it is recorded.
const tellWithin = 5 * time.Second

// record has a page, or a frame of one, be recorded, and then lets it go on.
func (a *attachment) record(s devtools.Session, t devtools.Target, page int) *notes {
	ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
	defer cancel()
	tell := s.Teller(ctx, t)
	n := &notes{attachment: a, session: s, page: page, loads: map[string]*load{}}
	n.listen()
	source := map[string]any{"source": a.script, "runImmediately": true}
	tell("Page.enable", nil)
	if a.browser.hidden {
		source["worldName"] = world
	} else {
		tell("Runtime.enable", nil)
		tell("Runtime.addBinding", map[string]any{"name": binding})
	}
	tell("Page.addScriptToEvaluateOnNewDocument", source)
	tell("Network.enable", map[string]any{"maxTotalBufferSize": 8 * maxAsset, "maxResourceBufferSize": maxAsset})
	tell("Log.enable", nil)
	tell("Runtime.runIfWaitingForDebugger", nil)
	go s.Attach(context.Background(), devtools.Attacher{Types: []string{"iframe"}, Attached: func(s devtools.Session, t devtools.Target) { a.record(s, t, page) }})
	return n
}

// take takes what a page's recorder sends.
func (n *notes) take(params json.RawMessage) {
	var e struct{ Name, Payload string }
	if json.Unmarshal(params, &e) == nil && e.Name == binding {
		n.event(e.Payload)
	}
}

func (n *notes) event(text string) { n.tape.add(domLine, dom{domLine, n.page, json.RawMessage(text)}) }

// askAgain is how long a document is left alone that has no recorder, such as one
// that says why a page cannot be shown.
const askAgain = 500 * time.Millisecond

// ask asks the recorder of a hidden page what it has seen, in one document after
// the other, until the page is gone. Its frame has the name of its target.
func (n *notes) ask(ctx context.Context, frame string) {
	for ctx.Err() == nil {
		if n.askDocument(ctx, frame) != nil {
			select {
			case <-ctx.Done():
			case <-n.session.Gone():
				return
			case <-time.After(askAgain):
			}
		}
	}
}

// askDocument asks the document that is there now, until it is left.
func (n *notes) askDocument(ctx context.Context, frame string) error {
	var in struct{ ExecutionContextID int }
	if err := n.session.Call(ctx, "Page.createIsolatedWorld", map[string]any{"frameId": frame, "worldName": world}, &in); err != nil {
		return err
	}
	for asked := false; ; asked = true {
		var out struct {
			Result           struct{ Value string }
			ExceptionDetails *struct{}
		}
		err := n.session.Call(ctx, "Runtime.evaluate", map[string]any{
			"expression": binding + "()", "contextId": in.ExecutionContextID, "awaitPromise": true, "returnByValue": true,
		}, &out)
		switch {
		case err != nil && asked:
			return nil // it was left for another
		case err != nil:
			return err
		case out.ExceptionDetails != nil:
			return errNoRecorder
		}
		for text := range strings.SplitSeq(out.Result.Value, "\n") {
			n.event(text)
		}
	}
}

var errNoRecorder = errors.New("the document has no recorder")

// maxAsset bounds a picture, style sheet or font that is kept, in bytes.
const maxAsset = 2 << 20

// maxBodies is how many bodies are read at once.
const maxBodies = 2

// maxAssets bounds how many assets are kept.
const maxAssets = 10000

// An asset is a line with something that a page showed.
type asset struct {
	Kind string `json:"kind"`
	At   int64  `json:"at"`
	URL  string `json:"url"`
	Type string `json:"type"` // such as image/png
	Data string `json:"data"` // in base64
}

// keep keeps what a page has loaded, unless that was kept before.
func (n *notes) keep(id, address, media string) {
	a := n.attachment
	a.mu.Lock()
	wanted := !a.assets[address] && len(a.assets) < maxAssets && a.tape.has(assetLine)
	if wanted {
		a.assets[address] = true
	}
	a.mu.Unlock()
	if !wanted {
		return
	}
	go func() {
		a.bodies <- struct{}{}
		defer func() { <-a.bodies }()
		ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
		defer cancel()
		var body struct {
			Body          string
			Base64Encoded bool
		}
		if n.session.Call(ctx, "Network.getResponseBody", map[string]any{"requestId": id}, &body) != nil {
			return // the page has let go of it
		}
		if !body.Base64Encoded {
			body.Body = base64.StdEncoding.EncodeToString([]byte(body.Body))
		}
		if len(body.Body) <= 2*maxAsset {
			a.tape.add(assetLine, asset{assetLine, now(), address, media, body.Body})
		}
	}()
}
