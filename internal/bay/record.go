package bay

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

// # Recordings
//
// A recorder takes the video that a session's guest makes of the screen, or what
// it writes down of the pages of its browser, and keeps it as a capture while it
// comes. What it looks at is no call: a recording does not keep its session. When
// the session ends, the guest is given a moment to complete the file before its
// machine is stopped. What breaks off for another reason, such as a crash of the
// screen or a restart of this server, goes on: a video in another file, and a
// replay, of which the guest has a file of its own, where it broke off.

// Bounds and defaults of a recording.
const (
	defaultFrameRate = 10
	maxFrameRate     = 30
	defaultRecording = 512 << 20
	minRecording     = 1 << 20
)

// A medium is how something of a session is recorded.
type medium struct {
	kind         agentbay.RecordingKind
	port         uint16 // of the guest's recorder
	name, suffix string // of files
	goesOn       bool   // in the file that broke off
}

var media = map[agentbay.RecordingKind]*medium{
	agentbay.RecordedScreen: {agentbay.RecordedScreen, guest.RecordPort, "recording", ".mp4", false},
	agentbay.RecordedPages:  {agentbay.RecordedPages, guest.ReplayPort, "replay", ".jsonl", true},
}

// recorders is what records a session.
type recorders map[agentbay.RecordingKind]*recorder

// checkRecording fills in what a spec leaves open and refuses what is out of bounds.
func (b *Bay) checkRecording(image string, families []tool.Family, spec agentbay.RecordingSpec) (agentbay.RecordingSpec, error) {
	if b.Captures == nil {
		return spec, agentbay.Errorf(agentbay.Invalid, "this bay keeps no recordings")
	}
	if !slices.Contains(families, tool.Desktop) {
		return spec, agentbay.Errorf(agentbay.Invalid, "a session of %s has no screen to record; one of %s has", image, agentbay.DefaultImage)
	}
	most := b.Captures.Most()
	spec.FrameRate = cmp.Or(spec.FrameRate, defaultFrameRate)
	spec.MaxBytes = cmp.Or(spec.MaxBytes, min(defaultRecording, most))
	if spec.FrameRate < 1 || spec.FrameRate > maxFrameRate {
		return spec, agentbay.Errorf(agentbay.Invalid, "a recording has 1 to %d frames a second, not %d", maxFrameRate, spec.FrameRate)
	}
	if spec.MaxBytes < minRecording || spec.MaxBytes > most {
		return spec, agentbay.Errorf(agentbay.Invalid, "a recording can be limited to %d to %d bytes, not to %d", minRecording, most, spec.MaxBytes)
	}
	return spec, nil
}

// A recorder records one session until it is told to stop, its session ends or
// there is no more room.
type recorder struct {
	bay     *Bay
	session *session
	medium  *medium
	spec    agentbay.RecordingSpec // MaxBytes is what is left; used by run only

	stop  context.Context    // done when the recording is to be completed
	halt  context.CancelFunc // ends stop
	begun chan error         // receives nil when there is a first picture, or else why there is none
	told  bool               // begun has received; used by run only
	done  chan struct{}      // closed when nothing more is written

	mu   sync.Mutex
	name string // of the file that is written; empty if none is; guarded by mu

	grown chan struct{} // closed, and replaced, when there is more of the file; guarded by mu
}

// film begins to record a session, which must not be recorded yet. The caller
// may read from begun. What goes on in a file has its name.
func (b *Bay) film(s *session, kind agentbay.RecordingKind, name string, spec agentbay.RecordingSpec) (*recorder, error) {
	r := &recorder{bay: b, session: s, medium: media[kind], spec: spec, name: name, told: name != "", begun: make(chan error, 1), done: make(chan struct{}), grown: make(chan struct{})}
	r.stop, r.halt = context.WithCancel(s.alive)
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.recorders[kind] != nil {
		r.halt()
		return nil, agentbay.Errorf(agentbay.Conflict, "session %s is being recorded already; stop that recording first", s.ID)
	}
	if s.recorders == nil {
		s.recorders = recorders{}
	}
	s.recorders[kind] = r
	b.background.Go(r.run)
	return r, nil
}

// againAfter is how long a recorder waits before it tries again what broke off.
const againAfter = time.Second

// mostTries is how often in a row a recording is tried again that broke off.
const mostTries = 10

// run records until there is no more to record.
func (r *recorder) run() {
	defer r.over()
	for tries := 0; ; {
		err := r.shoot()
		if tries++; !errors.Is(err, errNotBegun) {
			tries = 0
		}
		never := r.tell(err)
		if never || err == nil || tries > mostTries {
			return
		}
		r.bay.Log.Warn("a recording broke off and goes on", "session", r.session.ID, "err", err)
		select {
		case <-r.stop.Done():
			return
		case <-time.After(againAfter):
		}
	}
}

// over takes the recorder from its session.
func (r *recorder) over() {
	r.bay.mu.Lock()
	delete(r.session.recorders, r.medium.kind)
	desk, others := r.session.desk, len(r.session.recorders) > 0
	r.bay.mu.Unlock()
	desk.SetRecorded(others)
	r.halt()
	r.bay.check(r.session, "bound captures", r.bay.Captures.Bound(string(r.session.ID)))
	close(r.done)
	r.more() // after that, so that who is told knows that the file is whole
}

// more tells who reads the file that there is more of it, or that it is whole.
func (r *recorder) more() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.grown)
	r.grown = make(chan struct{})
}

// growing is closed when there is more of the file, or nil if it is whole, as that
// of no recorder is.
func (r *recorder) growing() <-chan struct{} {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return nil
	default:
		return r.grown
	}
}

// errNotBegun is the error of a recording of which there is no picture.
var errNotBegun = errors.New("not begun")

// shoot records one file. An error says that another one is to follow, unless it
// is errNotBegun.
func (r *recorder) shoot() error {
	t, err := r.open()
	if err != nil {
		return r.notBegun(err)
	}
	defer t.file.Close()
	conn, err := r.dial(t.from)
	if err == nil {
		defer conn.Close()
		err = r.takeFrom(conn, t)
	}
	if t.from == 0 && t.bytes == 0 {
		os.Remove(t.file.Name())
	}
	return err
}

// open opens the file that is written next.
func (r *recorder) open() (*take, error) {
	r.mu.Lock()
	name := r.name
	r.mu.Unlock()
	if name == "" || !r.medium.goesOn {
		file, err := r.bay.Captures.Create(string(r.session.ID), r.medium.name, r.medium.suffix)
		return &take{recorder: r, file: file}, err
	}
	file, err := r.bay.Captures.Append(string(r.session.ID), name)
	if err != nil {
		return nil, err
	}
	from, err := file.Seek(0, io.SeekEnd)
	return &take{recorder: r, file: file, from: from}, err
}

// takeFrom writes what a guest sends.
func (r *recorder) takeFrom(conn net.Conn, t *take) error {
	outcome, err := r.receive(conn, t)
	went := outcome.Reason == recording.Stopped || outcome.Reason == recording.Full
	if t.bytes == 0 && (t.from == 0 || !went) {
		return r.notBegun(errors.Join(err, said(outcome)))
	}
	return t.end(outcome, err)
}

func (r *recorder) notBegun(err error) error {
	return fmt.Errorf("%w: %w", errNotBegun, err)
}

// said is what a guest says went wrong; nil if nothing.
func said(o recording.Outcome) error {
	if o.Error == "" {
		return nil
	}
	return agentbay.Errorf(agentbay.Unavailable, "%s", shorten(o.Error))
}

// dialWithin is how long it may take to reach a guest's recorder.
const dialWithin = 10 * time.Second

// dial asks the guest for a recording.
func (r *recorder) dial(from int64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(r.stop, dialWithin)
	defer cancel()
	conn, err := r.session.guest.DialPort(ctx, r.medium.port)
	if err != nil {
		return nil, r.notBegun(err)
	}
	if err := recording.Ask(conn, recording.Request{FrameRate: r.spec.FrameRate, MaxBytes: r.spec.MaxBytes, From: from}); err != nil {
		conn.Close()
		return nil, r.notBegun(err)
	}
	return conn, nil
}

// completeWithin is how long a guest may take to complete a video.
const completeWithin = 5 * time.Second

// receive takes what the guest sends until the video is complete.
func (r *recorder) receive(conn net.Conn, t *take) (recording.Outcome, error) {
	received := make(chan struct{})
	defer close(received)
	defer context.AfterFunc(r.stop, func() {
		recording.Enough(conn) // if that fails, nothing more comes
		select {
		case <-received:
		case <-time.After(completeWithin):
			conn.Close()
		}
	})()
	return recording.Receive(bufio.NewReaderSize(conn, 64<<10), t.file, r.spec.MaxBytes, t.written)
}

// A take is one file of a recording while it is written.
type take struct {
	recorder *recorder
	file     *os.File
	from     int64 // how long the file was before
	bytes    int64
	looked   int64 // how many bytes there were when the disk was last looked at
}

// lookEach is after how many bytes the disk is looked at.
const lookEach = 8 << 20

// written is told of each piece of the video.
func (t *take) written(n int) error {
	b := t.recorder.bay
	if t.bytes == 0 {
		if err := t.recorder.began(filepath.Base(t.file.Name()), t.from == 0); err != nil {
			return err
		}
	}
	t.bytes += int64(n)
	t.recorder.more()
	if t.bytes < t.looked+lookEach {
		return nil
	}
	t.looked = t.bytes
	return b.HighWater.room(1, "nothing is recorded")
}

// began records that there is something of a file, unless that is recorded.
func (r *recorder) began(name string, anew bool) error {
	if anew {
		row := store.Recording{Name: name, Kind: r.medium.kind, Spec: r.spec, StartedAt: time.Now()}
		if err := r.bay.Store.AddRecording(context.WithoutCancel(r.stop), r.session.ID, row); err != nil {
			return agentbay.Wrap(err, agentbay.Unavailable, "the recording could not be recorded; try again")
		}
	}
	r.mu.Lock()
	r.name = name
	r.mu.Unlock()
	r.bay.deskOf(r.session).SetRecorded(true)
	r.tell(nil)
	return nil
}

// tell says whether the recording has begun, and reports whether that was news.
func (r *recorder) tell(err error) bool {
	news := !r.told
	if news {
		r.told = true
		r.begun <- err
	}
	return news
}

// end records how a file ended. An error says that another one is to follow.
func (t *take) end(o recording.Outcome, err error) error {
	r := t.recorder
	if info, err := t.file.Stat(); err == nil && !r.medium.goesOn {
		r.spec.MaxBytes -= info.Size()
	}
	cause := context.Cause(r.session.alive)
	if errors.Is(cause, errClosing) {
		return nil // the next server goes on
	}
	reason, again := "broke off", true
	switch {
	case agentbay.CodeOf(err) == agentbay.Exhausted:
		reason, again = agentbay.MessageOf(err), false
	case cause != nil:
		reason, again = "the session ended", false
	case r.stop.Err() != nil:
		reason, again = "stopped", false
	case o.Reason == recording.Full || r.spec.MaxBytes < minRecording:
		reason, again = "full", false
	}
	if b := r.bay; !again || !r.medium.goesOn {
		b.check(r.session, "record the end of a recording", b.Store.EndRecording(context.WithoutCancel(r.stop), filepath.Base(t.file.Name()), reason, time.Now()))
	}
	if !again {
		return nil
	}
	return errors.Join(err, said(o), errBrokeOff)
}

// errBrokeOff is the error of a recording that is to go on.
var errBrokeOff = errors.New("broke off")

// endRecordings completes the recordings of a session that has ended.
func (b *Bay) endRecordings(s *session) {
	b.mu.Lock()
	all := slices.Collect(maps.Values(s.recorders))
	b.mu.Unlock()
	for _, r := range all {
		r.halt()
		<-r.done
	}
}

// goOnRecording goes on with what an earlier server recorded.
func (b *Bay) goOnRecording(ctx context.Context, s *session) {
	if b.Captures == nil {
		return
	}
	rows, err := b.Store.Recordings(ctx, s.ID, maxRecordings)
	b.check(s, "look up recordings", err)
	for _, x := range rows {
		if !x.EndedAt.IsZero() {
			continue
		}
		if media[x.Kind].goesOn {
			_, err := b.film(s, x.Kind, x.Name, x.Spec)
			b.check(s, "go on recording", err)
			continue
		}
		end := time.Now()
		if info, err := b.Captures.Stat(string(s.ID), x.Name); err == nil {
			end = info.ModTime()
			x.Spec.MaxBytes -= info.Size()
		}
		b.check(s, "record the end of a recording", b.Store.EndRecording(ctx, x.Name, "the server was restarted", end))
		if x.Spec.MaxBytes >= minRecording {
			_, err := b.film(s, x.Kind, "", x.Spec)
			b.check(s, "go on recording", err)
		}
	}
}

// begin waits until a recorder has something, or has failed.
func (r *recorder) begin(ctx context.Context) (err error) {
	select {
	case err = <-r.begun:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.halt()
	}
	return err
}

func (c *caller) StartRecording(ctx context.Context, id agentbay.SessionID, spec agentbay.RecordingSpec) (*agentbay.Recording, error) {
	use, err := c.use(ctx, id, "start recording")
	if err != nil {
		return nil, err
	}
	x, err := c.startRecording(use, spec)
	return x, use.end(err)
}

func (c *caller) startRecording(u *use, spec agentbay.RecordingSpec) (*agentbay.Recording, error) {
	spec, err := c.bay.checkRecording(u.session.Image, u.session.families, spec)
	if err != nil {
		return nil, err
	}
	if err := c.bay.HighWater.room(1, "nothing is recorded"); err != nil {
		return nil, err
	}
	r, err := c.bay.film(u.session, agentbay.RecordedScreen, "", spec)
	if err != nil {
		return nil, err
	}
	if err := r.begin(u.ctx); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the screen could not be recorded; try again")
	}
	return c.lastRecording(u.ctx, u.session.ID)
}

func (c *caller) StopRecording(ctx context.Context, id agentbay.SessionID) (*agentbay.Recording, error) {
	use, err := c.use(ctx, id, "stop recording")
	if err != nil {
		return nil, err
	}
	c.bay.mu.Lock()
	r := use.session.recorders[agentbay.RecordedScreen]
	c.bay.mu.Unlock()
	if r == nil {
		return nil, use.end(agentbay.Errorf(agentbay.Conflict, "session %s is not being recorded", id))
	}
	r.halt()
	select {
	case <-r.done:
	case <-use.ctx.Done():
		return nil, use.end(use.ctx.Err())
	}
	x, err := c.lastRecording(use.ctx, id)
	return x, use.end(err)
}

func (c *caller) lastRecording(ctx context.Context, id agentbay.SessionID) (*agentbay.Recording, error) {
	all, err := c.Recordings(ctx, id)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x agentbay.Recording) bool { return x.Kind != agentbay.RecordedScreen })
	if len(all) == 0 {
		return nil, agentbay.Errorf(agentbay.Unavailable, "the recording of session %s did not begin; try again", id)
	}
	return &all[len(all)-1], nil
}

// maxRecordings is how many recordings of a session are told.
const maxRecordings = 100

func (c *caller) Recordings(ctx context.Context, id agentbay.SessionID) ([]agentbay.Recording, error) {
	if _, err := c.find(ctx, id); err != nil {
		return nil, err
	}
	b := c.bay
	if b.Captures == nil {
		return nil, nil
	}
	rows, err := b.Store.Recordings(ctx, id, maxRecordings)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "the recordings of session %s could not be looked up", id)
	}
	all := make([]agentbay.Recording, 0, len(rows))
	for _, x := range rows {
		info, err := b.Captures.Stat(string(id), x.Name)
		if err != nil {
			continue // it gave way to newer ones, or was kept long enough
		}
		if x.EndedAt.IsZero() && b.recorderOf(id, x.Kind, x.Name) == nil { // a server was killed, and the session ended before the next
			x.EndedAt, x.Reason = info.ModTime(), "broke off"
		}
		all = append(all, agentbay.Recording{
			Name: x.Name, Kind: x.Kind, URL: b.watchURL(id, x), DataURL: b.captureURL(id, x.Name), StartedAt: x.StartedAt, EndedAt: x.EndedAt, Reason: x.Reason, Bytes: info.Size(),
		})
	}
	return all, nil
}

// watchURL is the path of a URL under which a recording can be watched.
func (b *Bay) watchURL(id agentbay.SessionID, x store.Recording) string {
	if x.Kind == agentbay.RecordedPages {
		return gate.ReplayPath(b.Secret, b.captureTicket(id, x.Name))
	}
	return b.captureURL(id, x.Name)
}

// recorderOf is what writes a file; nil if nothing does.
func (b *Bay) recorderOf(id agentbay.SessionID, kind agentbay.RecordingKind, name string) *recorder {
	b.mu.Lock()
	var r *recorder
	if s := b.live[id]; s != nil {
		r = s.recorders[kind]
	}
	b.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.name != name {
		return nil
	}
	return r
}
