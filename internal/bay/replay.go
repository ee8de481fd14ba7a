package bay

import (
	"io"
	"path"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// mostReplay is how long a replay may become, in bytes.
const mostReplay = 256 << 20

// replay records what the pages of a session's browser show, if that is wanted and
// not done already. Where there is no browser, there is nothing to record.
func (u *use) replay(want *bool) error {
	b, s := u.caller.bay, u.session
	asked := want != nil && *want
	if !s.has(tool.Browser) || !asked && (want != nil || !b.Replays) {
		return nil
	}
	if b.Captures == nil {
		return agentbay.Errorf(agentbay.Invalid, "this bay keeps no replays")
	}
	err := b.HighWater.room(1, "nothing is recorded")
	var r *recorder
	if err == nil {
		r, err = b.film(s, agentbay.RecordedPages, "", agentbay.RecordingSpec{MaxBytes: min(mostReplay, b.Captures.Most())})
	}
	if err == nil {
		err = r.begin(u.ctx)
	}
	switch {
	case agentbay.CodeOf(err) == agentbay.Conflict:
		return nil // it is recorded
	case err != nil && !asked:
		b.check(s, "record pages", err)
		return nil
	case err != nil:
		return agentbay.Wrap(err, agentbay.Unavailable, "what pages show cannot be recorded: %s", agentbay.MessageOf(err))
	}
	return nil
}

// A Replay is a recording of pages that is being played.
type Replay struct {
	File  io.ReadSeekCloser
	Grown func() <-chan struct{} // closed when there is more of the file; nil once it is whole
}

// OpenReplay opens what a ticket of a page that plays a replay names. The caller
// closes its file.
//
// Denied: the ticket is not of this bay, or is too old.
// NotFound: the replay is not kept any more.
func (b *Bay) OpenReplay(ticket string) (*Replay, error) {
	t, err := gate.AdmitFile(ticket, b.Secret)
	if err != nil {
		return nil, err
	}
	if t.Write || path.Ext(t.Path) != media[agentbay.RecordedPages].suffix {
		return nil, agentbay.Errorf(agentbay.Denied, "this link is of another file; ask for a new one")
	}
	if b.Captures == nil {
		return nil, agentbay.Errorf(agentbay.NotFound, "this bay keeps no replays")
	}
	r := b.recorderOf(agentbay.SessionID(t.Context), agentbay.RecordedPages, t.Path) // before the file is looked at, which may be whole then
	f, err := b.Captures.Open(t.Context, t.Path)
	if err != nil {
		return nil, err
	}
	return &Replay{f, r.growing}, nil
}
