// Package replay records what the pages of a session's browser show, so that it
// can be played later: the changes of their documents, what people and programs do
// in them, what they write to the console and what they load.
//
// The host connects to [guest.ReplayPort] and speaks as package recording says.
// Recording begins with the first connection. What is recorded is a file in the
// session, a tape, which is sent from any place on; so a host that was away misses
// nothing.
//
// A tape is lines of JSON. Each says its kind, and those of a page its number:
//
//	{"kind":"tape","at":…}                          the first line
//	{"kind":"page","at":…,"page":1}                 a page was opened
//	{"kind":"dom","page":1,"event":{…}}             an event of rrweb's, which has its time
//	{"kind":"console","at":…,"page":1,…}            what a page wrote to the console
//	{"kind":"network","at":…,"page":1,…}            what a page asked for
//	{"kind":"asset","at":…,"url":…,"type":…,"data":…}  what its pictures, styles and fonts are
//	{"kind":"closed","at":…,"page":1}               it was closed
//	{"kind":"lost","at":…,"of":…}                   there is no more of a kind, or at all
//
// Times are milliseconds since 1970. Passwords are not recorded, nor what forms
// send or headers; other text that is entered is.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/rrweb"
)

// Kinds of lines.
const (
	tapeLine    = "tape"
	pageLine    = "page"
	domLine     = "dom"
	consoleLine = "console"
	networkLine = "network"
	assetLine   = "asset"
	closedLine  = "closed"
	lostLine    = "lost"
)

// A mark is a line that says that something happened.
type mark struct {
	Kind string `json:"kind"`
	At   int64  `json:"at"`
	Page int    `json:"page,omitempty"`
}

type lost struct {
	Kind string `json:"kind"`
	At   int64  `json:"at"`
	Of   string `json:"of"` // kind of which there are no more lines; empty means that there are none at all
}

type dom struct {
	Kind  string          `json:"kind"`
	Page  int             `json:"page"`
	Event json.RawMessage `json:"event"`
}

func now() int64 { return time.Now().UnixMilli() }

// A Recorder records the pages of one browser after the other. Dir is set before
// it is used.
type Recorder struct {
	Dir string // where the tape is kept

	mu      sync.Mutex
	tape    *tape    // nil until recording has begun; guarded by mu
	browser *browser // which is open; nil if none was opened; guarded by mu

	pages atomic.Int64 // that were recorded
}

// A browser is one that is open.
type browser struct {
	address string // of its WebSocket
	hidden  bool   // pages must not see that they are recorded
}

// On reports whether browsers are recorded.
func (r *Recorder) On() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tape != nil
}

// Opened says that a browser was opened at the address of a WebSocket. If it is
// recorded, it returns when its pages are. The pages of a hidden browser cannot see
// that; then nothing of the console is recorded, and of what scripts do to styles
// and shadow trees only what is there once a minute.
func (r *Recorder) Opened(ctx context.Context, address string, hidden bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.browser = &browser{address, hidden}
	if r.tape == nil {
		return nil
	}
	return r.recordLocked(ctx)
}

// begin begins to record, if that has not begun.
func (r *Recorder) begin(ctx context.Context, max int64) (*tape, error) {
	if !rrweb.Complete() {
		return nil, errors.New("the guest was built without rrweb; install npm or python3-venv, and run scripts/build")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tape != nil {
		return r.tape, nil
	}
	t, err := newTape(r.Dir, max)
	if err != nil {
		return nil, fmt.Errorf("no replay can be written: %w", err)
	}
	r.tape = t
	t.add(tapeLine, mark{Kind: tapeLine, At: now()})
	if r.browser != nil {
		_ = r.recordLocked(ctx) // it may have ended, and the next is recorded
	}
	return t, nil
}

// recordLocked records the browser that is open, until it ends.
func (r *Recorder) recordLocked(ctx context.Context) error {
	b := *r.browser
	a, err := r.attach(ctx, b)
	if err != nil {
		return err
	}
	go func() {
		for range mostTries {
			<-a.conn.Browser().Gone()
			time.Sleep(againAfter) // of a browser that ends, nothing answers then
			if a, err = r.attach(context.Background(), b); err != nil {
				return
			}
		}
		a.conn.Close()
	}()
	return nil
}

// A connection to a browser may break off, by an event that is too long for it,
// say.
const (
	againAfter = time.Second
	mostTries  = 20
)

// Serve sends the tape to who connects to l, until ctx is done.
func (r *Recorder) Serve(ctx context.Context, l net.Listener) error {
	return recording.Serve(ctx, l, func(ctx context.Context, conn net.Conn) {
		o, err := r.play(ctx, conn)
		if err != nil {
			o = recording.Outcome{Reason: recording.Failed, Error: err.Error()}
		}
		recording.End(conn, o)
	})
}

func (r *Recorder) play(ctx context.Context, conn net.Conn) (recording.Outcome, error) {
	q, enough, err := recording.ReadRequest(conn)
	if err != nil {
		return recording.Outcome{}, err
	}
	t, err := r.begin(ctx, q.MaxBytes)
	if err != nil {
		return recording.Outcome{}, err
	}
	return t.play(conn, q.From, enough)
}
