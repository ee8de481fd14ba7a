package replay

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
)

// Notes are what a page, or a frame of it, writes to the console and loads. Its
// fields are used by the handlers of its events only, which are called in turn.
type notes struct {
	*attachment
	session devtools.Session
	page    int

	loads map[string]*load // under way, by the browser's names of them
}

// A load is a line about something that a page asked for.
type load struct {
	Kind   string  `json:"kind"`
	At     int64   `json:"at"`
	Page   int     `json:"page"`
	Method string  `json:"method"`
	URL    string  `json:"url"`
	Of     string  `json:"of"`               // what it is for, such as Document or Image
	Status int     `json:"status,omitempty"` // of HTTP
	Type   string  `json:"type,omitempty"`   // such as image/png
	Millis float64 `json:"ms"`               // until it was over
	Bytes  int64   `json:"bytes"`            // that came
	Error  string  `json:"error,omitempty"`  // why it failed

	began   float64 // on the browser's clock, in seconds
	address string  // all of the URL
}

// A said is a line about something that a page wrote to the console.
type said struct {
	Kind  string `json:"kind"`
	At    int64  `json:"at"`
	Page  int    `json:"page"`
	Level string `json:"level"` // log, info, warning, error, debug, …
	Text  string `json:"text"`
	Where string `json:"where,omitempty"` // URL and line
}

// Bounds of what is noted.
const (
	maxText  = 4 << 10
	maxURL   = 2 << 10
	maxLoads = 2000 // under way at once
	maxArgs  = 20   // of one call of the console
)

// on has heed called with each event of a kind.
func on[E any](n *notes, method string, heed func(E)) {
	n.session.On(method, func(params json.RawMessage) {
		var e E
		if json.Unmarshal(params, &e) == nil {
			heed(e)
		}
	})
}

func (n *notes) listen() {
	n.session.On("Runtime.bindingCalled", n.take)
	on(n, "Runtime.consoleAPICalled", n.console)
	on(n, "Runtime.exceptionThrown", n.exception)
	on(n, "Log.entryAdded", n.entry)
	on(n, "Network.requestWillBeSent", n.asked)
	on(n, "Network.responseReceived", n.answered)
	on(n, "Network.loadingFinished", n.loaded)
	on(n, "Network.loadingFailed", n.failed)
}

func (n *notes) say(at float64, level, text, where string) {
	n.tape.add(consoleLine, said{consoleLine, int64(at), n.page, level, guest.Clip(text, maxText), where})
}

// A value is what the browser tells of a value of a script's.
type value struct {
	Value       any
	Description string
	Type        string
}

func (v value) String() string {
	switch {
	case v.Value != nil:
		return fmt.Sprint(v.Value)
	case v.Description != "":
		return v.Description
	}
	return v.Type
}

type consoleEvent struct {
	Type      string
	Args      []value
	Timestamp float64
	Stack     struct {
		CallFrames []struct {
			URL  string
			Line int `json:"lineNumber"`
		}
	} `json:"stackTrace"`
}

func (n *notes) console(e consoleEvent) {
	var texts []string
	for _, v := range e.Args[:min(len(e.Args), maxArgs)] {
		texts = append(texts, guest.Clip(v.String(), maxText))
	}
	where := ""
	if frames := e.Stack.CallFrames; len(frames) > 0 && frames[0].URL != "" {
		where = place(frames[0].URL, frames[0].Line)
	}
	n.say(e.Timestamp, e.Type, strings.Join(texts, " "), where)
}

// place is where something is, for people, who count lines from one.
func place(address string, line int) string {
	return fmt.Sprintf("%s:%d", guest.Clip(hush(address), maxURL), line+1)
}

type exceptionEvent struct {
	Timestamp float64
	Details   struct {
		Text      string
		URL       string
		Line      int `json:"lineNumber"`
		Exception value
	} `json:"exceptionDetails"`
}

func (n *notes) exception(e exceptionEvent) {
	text := e.Details.Text
	if d := e.Details.Exception.Description; d != "" {
		text += " " + d
	}
	n.say(e.Timestamp, "error", text, place(e.Details.URL, e.Details.Line))
}

type logEvent struct {
	Entry struct {
		Level, Text, URL string
		Timestamp        float64
	}
}

func (n *notes) entry(e logEvent) {
	n.say(e.Entry.Timestamp, e.Entry.Level, e.Entry.Text, guest.Clip(hush(e.Entry.URL), maxURL))
}

// hush is an address without a name and a password.
func hush(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		u.User = nil
		return u.String()
	}
	return address
}

type response struct {
	Status int
	Type   string `json:"mimeType"`
}

type askedEvent struct {
	ID        string `json:"requestId"`
	Request   struct{ URL, Method string }
	Timestamp float64
	WallTime  float64
	Type      string
	Redirect  *response `json:"redirectResponse"`
}

func (n *notes) asked(e askedEvent) {
	if before := n.loads[e.ID]; before != nil && e.Redirect != nil {
		before.Status, before.Type = e.Redirect.Status, e.Redirect.Type
		n.over(e.ID, e.Timestamp)
	}
	if strings.HasPrefix(e.Request.URL, "data:") || len(n.loads) >= maxLoads {
		return
	}
	n.loads[e.ID] = &load{
		Kind: networkLine, At: int64(e.WallTime * 1000), Page: n.page, Method: guest.Clip(e.Request.Method, 20), URL: guest.Clip(hush(e.Request.URL), maxURL), Of: e.Type,
		began: e.Timestamp, address: e.Request.URL,
	}
}

// over writes down how a load ended.
func (n *notes) over(id string, at float64) {
	l := n.loads[id]
	delete(n.loads, id)
	l.Millis = float64(time.Duration((at-l.began)*float64(time.Second)).Microseconds()) / 1000
	n.tape.add(networkLine, l)
}

type answeredEvent struct {
	ID       string `json:"requestId"`
	Response response
	Type     string
}

func (n *notes) answered(e answeredEvent) {
	if l := n.loads[e.ID]; l != nil {
		l.Status, l.Type, l.Of = e.Response.Status, guest.Clip(e.Response.Type, 100), e.Type
	}
}

type loadedEvent struct {
	ID        string `json:"requestId"`
	Timestamp float64
	Bytes     float64 `json:"encodedDataLength"`
}

func (n *notes) loaded(e loadedEvent) {
	l := n.loads[e.ID]
	if l == nil {
		return
	}
	l.Bytes = int64(e.Bytes)
	if shown[l.Of] && l.Bytes <= maxAsset && len(l.address) <= maxURL {
		n.keep(e.ID, l.address, l.Type)
	}
	n.over(e.ID, e.Timestamp)
}

// shown is what pages load to be seen.
var shown = map[string]bool{"Image": true, "Stylesheet": true, "Font": true}

type failedEvent struct {
	ID        string `json:"requestId"`
	Timestamp float64
	ErrorText string
}

func (n *notes) failed(e failedEvent) {
	if l := n.loads[e.ID]; l != nil {
		l.Error = guest.Clip(e.ErrorText, 200)
		n.over(e.ID, e.Timestamp)
	}
}
