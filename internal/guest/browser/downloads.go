package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay/internal/guest/devtools"
)

// A download is a file that the browser is sent.
type download struct {
	name  string
	path  string // empty until it is there
	state string // inProgress, completed or canceled, as DevTools say
}

func (d download) String() string {
	switch {
	case d.state == "completed" && d.path != "":
		return "downloaded " + clip(d.path)
	case d.state == "completed":
		return fmt.Sprintf("downloaded %q", clip(d.name))
	case d.state == "canceled":
		return fmt.Sprintf("the download of %q has failed", clip(d.name))
	}
	return fmt.Sprintf("%q is being downloaded", clip(d.name))
}

// downloads is what a browser has downloaded, in order.
type downloads struct {
	mu      sync.Mutex
	all     []download     // guarded by mu
	place   map[string]int // in all, by the browser's ID; guarded by mu
	changed chan struct{}  // closed, and another made, when something has changed; guarded by mu
}

// maxDownloads bounds how many downloads of a browser are told of.
const maxDownloads = 10_000

// follow follows what a browser downloads. Where that goes is the browser's to
// say, or a client's.
func follow(ctx context.Context, browser devtools.Session) (*downloads, error) {
	d := &downloads{place: map[string]int{}, changed: make(chan struct{})}
	browser.On("Browser.downloadWillBegin", func(params json.RawMessage) {
		var e struct{ GUID, SuggestedFilename string }
		if json.Unmarshal(params, &e) == nil {
			d.begin(e.GUID, e.SuggestedFilename)
		}
	})
	browser.On("Browser.downloadProgress", func(params json.RawMessage) {
		var e struct{ GUID, State, FilePath string }
		if json.Unmarshal(params, &e) == nil {
			d.progress(e.GUID, e.State, e.FilePath)
		}
	})
	return d, browser.Call(ctx, "Browser.setDownloadBehavior", map[string]any{"behavior": "default", "eventsEnabled": true}, nil)
}

func (d *downloads) begin(id, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) < maxDownloads {
		d.place[id] = len(d.all)
		d.all = append(d.all, download{name: name, state: "inProgress"})
		d.changedLocked()
	}
}

func (d *downloads) changedLocked() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *downloads) progress(id, state, path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.place[id]
	if !ok || state == "inProgress" {
		return
	}
	d.all[i].state, d.all[i].path = state, path
	delete(d.place, id)
	d.changedLocked()
}

// begun is how many downloads have begun.
func (d *downloads) begun() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all)
}

// since is the downloads that began after so many others, and whether all have
// ended; changed is closed when one begins or ends.
func (d *downloads) since(n int) (list []download, ended bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended = true
	for _, x := range d.all[n:] {
		list = append(list, x)
		ended = ended && x.state != "inProgress"
	}
	return list, ended, d.changed
}

// downloadWithin is how long a download is waited for, so that what is small is
// there when it is told of.
const downloadWithin = 3 * time.Second

// downloaded is sentences about what the browser has downloaded since the work on
// the page began.
func (p *page) downloaded(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, downloadWithin)
	defer cancel()
	list, ended, changed := p.downloads.since(p.had)
	for !ended && ctx.Err() == nil {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		list, ended, changed = p.downloads.since(p.had)
	}
	var b strings.Builder
	for _, x := range list[:min(len(list), maxTold)] {
		b.WriteString("; " + x.String())
	}
	return b.String()
}
