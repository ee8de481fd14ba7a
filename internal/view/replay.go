package view

import (
	"context"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/rrweb"
)

// # Replays
//
//	/replay/TICKET/         a page that plays a replay
//	/replay/TICKET/page/…   its parts
//	/replay/TICKET/rrweb/…  the player that it is made with
//	/replay/TICKET/lines    the replay, which goes on while it is recorded
//
// What a replay holds was made by pages, and is hostile. It is shown in a frame
// without scripts, which loads nothing from anywhere: pictures and styles are in the
// replay.

// A Replay is a recording of pages.
type Replay struct {
	File  io.ReadSeekCloser
	Grown func() <-chan struct{} // closed when there is more of the file; nil once it is whole
}

// replayPolicy is what the page may load, and the frame in which it shows what
// other pages did.
const replayPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline' blob:; img-src data: blob:; font-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"

func (d *Door) serveReplay(w http.ResponseWriter, r *http.Request, ticket, part string) error {
	harden(w.Header(), replayPolicy)
	if name, ok := strings.CutPrefix(part, "page/"); ok {
		return file(w, r, pages, path.Join("page", path.Clean("/"+name)))
	}
	if name, ok := strings.CutPrefix(part, "rrweb/"); ok {
		return file(w, r, rrweb.Files, path.Join(rrweb.Dir, path.Clean("/"+name)))
	}
	p, err := d.Bay.OpenReplay(ticket)
	if err != nil {
		refuse(w, err)
		return err
	}
	defer p.File.Close()
	switch part {
	case "":
		w.Header().Set("Cache-Control", "no-store") // its address is a secret
		return file(w, r, pages, "page/replay.html")
	case "lines":
		return d.serveLines(w, r, p)
	}
	return noPart(w)
}

// serveLines sends a replay from a byte on, until it is whole or nobody listens.
func (d *Door) serveLines(w http.ResponseWriter, r *http.Request, p *Replay) error {
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 0 {
		from = 0
	}
	if _, err := p.File.Seek(from, io.SeekStart); err != nil {
		err = agentbay.Wrap(err, agentbay.Unavailable, "the replay could not be read; try again")
		refuse(w, err)
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for {
		grown := p.Grown()                                // before what there is is read
		_ = out.SetWriteDeadline(time.Now().Add(stalled)) // fails only in tests, whose writers have none
		if _, err := io.Copy(w, p.File); err != nil {
			return nil // it is gone
		}
		if grown == nil {
			return nil
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil
		}
	}
}

// stalled is how long a page may take to take what there is of a replay.
const stalled = 10 * time.Minute
