package bay_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/captures"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/runtime/fake"
)

// A camera is the guest's end of recordings. What it sends is no video, which the
// host does not look into.
type camera struct {
	breaks atomic.Int32 // recordings that break off after their first piece
	broken atomic.Bool  // nothing can be recorded
	huge   atomic.Bool  // sends until it is full
}

// film records for one connection.
func (c *camera) film(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var q recording.Request
	if line, err := in.ReadBytes('\n'); err != nil || json.Unmarshal(line, &q) != nil {
		return
	}
	if c.broken.Load() {
		sendPieces(conn, "", `{"reason":"failed","error":"no such display"}`)
		return
	}
	if c.breaks.Add(-1) >= 0 {
		sendPieces(conn, "broken", "")
		return
	}
	sendPieces(conn, "begun ", "")
	if !c.huge.Load() {
		in.ReadByte()
	}
	reason := "stopped"
	if c.huge.Load() {
		reason = "full"
	}
	sendPieces(conn, "", `{"reason":"`+reason+`"}`)
}

// sendPieces sends a video of one piece, and an outcome if there is one.
func sendPieces(w io.Writer, video, outcome string) {
	if video != "" {
		io.WriteString(w, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"+string(rune(len(video)))+video)
	}
	if outcome != "" {
		io.WriteString(w, "\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00"+string(rune(len(outcome)))+outcome)
	}
}

// withCamera is withScreen, and a bay that keeps captures.
func withCamera(t *testing.T, c *camera) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		withScreen(b)
		b.Captures = &captures.Store{Dir: t.TempDir()}
		tools := b.Host.Guest
		b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
			rest, err := tools(spec)
			return atPort(t, guest.RecordPort, c.film, rest), err
		}
	}
}

// atPort is a guest that serves those who connect to a port of its session, and the
// rest as another does.
func atPort(t *testing.T, port int, serve func(net.Conn), rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.URL.Path != fmt.Sprintf("/port/%d", port) {
			rest.ServeHTTP(w, r)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.SetDeadline(time.Time{})
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		serve(conn)
	})
}

// video reads what there is behind a recording's URL.
func video(t *testing.T, b *baytest.Bay, r agentbay.Recording) string {
	t.Helper()
	token, _ := gate.CutFilePath(r.URL)
	ticket, ok := gate.OpenFileTicket(token, b.Secret)
	if !ok {
		t.Fatalf("%q is no ticket", r.URL)
	}
	f, _, err := b.OpenContextFile(t.Context(), agentbay.ContextID(ticket.Context), ticket.Path)
	must(t, err)
	defer f.Close()
	text, err := io.ReadAll(f)
	must(t, err)
	return string(text)
}

func recordings(t *testing.T, s agentbay.Service, id agentbay.SessionID) []agentbay.Recording {
	t.Helper()
	all, err := s.Recordings(t.Context(), id)
	must(t, err)
	return all
}

func TestARecordingIsHadWhileItGoesOnAndAfterwards(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	began, err := s.StartRecording(t.Context(), id, agentbay.RecordingSpec{})
	must(t, err)
	if !began.EndedAt.IsZero() || began.Bytes != 6 || video(t, b, *began) != "begun " {
		t.Errorf("while it goes on: %+v", began)
	}
	if _, err := s.StartRecording(t.Context(), id, agentbay.RecordingSpec{}); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("a second one: %v, want Conflict", err)
	}
	over, err := s.StopRecording(t.Context(), id)
	must(t, err)
	if over.Name != began.Name || over.EndedAt.IsZero() || over.Reason != "stopped" {
		t.Errorf("when it is over: %+v", over)
	}
	if _, err := s.StopRecording(t.Context(), id); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("stopped again: %v, want Conflict", err)
	}
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	if all := recordings(t, s, id); len(all) != 1 || video(t, b, all[0]) != "begun " {
		t.Errorf("after the session: %+v", all)
	}
	if _, err := b.Service(t, "theirs").Recordings(t.Context(), id); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("of another key's session: %v, want NotFound", err)
	}
}

func TestASessionIsRecordedFromTheStartToTheEnd(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Record: &agentbay.RecordingSpec{}})
	if all := recordings(t, s, id); len(all) != 1 || !all[0].EndedAt.IsZero() {
		t.Fatalf("from the start: %+v", all)
	}
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	if all := recordings(t, s, id); len(all) != 1 || all[0].Reason != "the session ended" {
		t.Errorf("at the end: %+v", all)
	}
}

func TestWhatBreaksOffGoesOnInAnotherFile(t *testing.T) {
	c := &camera{}
	c.breaks.Store(1)
	b := baytest.New(t, withCamera(t, c))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	_, err := s.StartRecording(t.Context(), id, agentbay.RecordingSpec{})
	must(t, err)
	all := awaitRecordings(t, s, id, 2)
	if video(t, b, all[0]) != "broken" || all[0].Reason != "broke off" || !all[1].EndedAt.IsZero() {
		t.Errorf("recordings: %+v", all)
	}
}

// awaitRecordings waits for a session to have some recordings.
func awaitRecordings(t *testing.T, s agentbay.Service, id agentbay.SessionID, n int) []agentbay.Recording {
	t.Helper()
	for {
		if all := recordings(t, s, id); len(all) == n {
			return all
		}
		time.Sleep(time.Millisecond)
	}
}

func TestARecordingGoesOnAfterARestart(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Record: &agentbay.RecordingSpec{FrameRate: 5, MaxBytes: 2 << 20}})
	must(t, b.Shutdown(t.Context()))
	_, s = restarted(t, b)
	all := awaitRecordings(t, s, id, 2)
	if all[0].Reason != "the server was restarted" || !all[1].EndedAt.IsZero() {
		t.Errorf("recordings: %+v", all)
	}
	rows, err := b.Store.Recordings(t.Context(), id, 10)
	must(t, err)
	if spec := rows[1].Spec; spec.FrameRate != 5 || spec.MaxBytes != 2<<20-6 {
		t.Errorf("it goes on with %+v", spec)
	}
}

func TestWhatIsFullIsNotRecordedOn(t *testing.T) {
	c := &camera{}
	c.huge.Store(true)
	b := baytest.New(t, withCamera(t, c))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Record: &agentbay.RecordingSpec{}})
	for recordings(t, s, id)[0].EndedAt.IsZero() {
		time.Sleep(time.Millisecond)
	}
	if all := recordings(t, s, id); len(all) != 1 || all[0].Reason != "full" {
		t.Errorf("recordings: %+v", all)
	}
}

func TestWhatCannotBeRecordedIsRefused(t *testing.T) {
	c := &camera{}
	b := baytest.New(t, withCamera(t, c))
	s := b.Service(t, "mine")
	for _, spec := range []agentbay.RecordingSpec{{FrameRate: 31}, {FrameRate: -1}, {MaxBytes: 1000}, {MaxBytes: 1 << 40}, {MaxBytes: -1}} {
		if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Record: &spec}); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%+v: %v, want Invalid", spec, err)
		}
	}
	if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Image: "code_latest", Record: &agentbay.RecordingSpec{}}); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("without a screen: %v, want Invalid", err)
	}
	c.broken.Store(true)
	if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Record: &agentbay.RecordingSpec{}}); !errors.Is(err, agentbay.Unavailable) || !strings.Contains(err.Error(), "no such display") {
		t.Errorf("a screen that cannot be recorded: %v", err)
	}
	page, err := s.Sessions(t.Context(), agentbay.SessionQuery{State: agentbay.Running})
	must(t, err)
	if page.Total != 0 {
		t.Errorf("%d sessions are left", page.Total)
	}
}

func TestViewersAreToldOfARecording(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	v, _ := sit(t, b, s, id, "a")
	_, err := s.StartRecording(t.Context(), id, agentbay.RecordingSpec{})
	must(t, err)
	if !v.Desk.State().Filmed {
		t.Error("viewers do not know of it")
	}
	must(t, s.RevokeViews(t.Context(), id))
	v, _ = sit(t, b, s, id, "a")
	if !v.Desk.State().Filmed {
		t.Error("viewers with new links do not know of it")
	}
	_, err = s.StopRecording(t.Context(), id)
	must(t, err)
	if v.Desk.State().Filmed {
		t.Error("viewers are not told of its end")
	}
}

func TestARecordingKeepsNoSession(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{IdleTimeout: 50 * time.Millisecond, Record: &agentbay.RecordingSpec{}})
	ended(t, s, id)
}
