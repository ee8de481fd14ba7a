package bay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/captures"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// A tape is the guest's end of replays: what it has, and who asked for it.
type tape struct {
	mu     sync.Mutex
	text   string
	failed string  // why nothing is recorded
	from   []int64 // where those began who asked
	conns  []net.Conn
}

// play sends what there is from where the host wants it, until it wants no more.
func (p *tape) play(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	line, err := in.ReadBytes('\n')
	var q recording.Request
	if err != nil || json.Unmarshal(line, &q) != nil {
		return
	}
	p.mu.Lock()
	failed, text := p.failed, p.text
	p.from = append(p.from, q.From)
	p.conns = append(p.conns, conn)
	p.mu.Unlock()
	if failed != "" {
		recording.End(conn, recording.Outcome{Reason: recording.Failed, Error: failed})
		return
	}
	recording.Send(conn, q.From, []byte(text[q.From:]))
	if _, err := in.ReadByte(); err == nil {
		recording.End(conn, recording.Outcome{Reason: recording.Stopped})
	}
}

// write has more on the tape, and breaks off the connections of who reads it.
func (p *tape) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text += text
	for _, c := range p.conns {
		c.Close()
	}
}

// withTape makes browser_latest an image whose browser is recorded, and linux_latest
// one without a browser.
func withTape(t *testing.T, p *tape) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		b.Images.Build("browser_latest", "sha256:b0", image.Config{Dir: "/", Families: []tool.Family{tool.Browser}})
		b.Captures = &captures.Store{Dir: t.TempDir()}
		b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
			m := &guest.Mux{Token: spec.Token}
			guest.Handle(m, tool.OpenBrowser, func(context.Context, tool.BrowserIn) (guest.Answer, error) {
				return guest.JSON(tool.BrowserOut{Port: 9222, Path: "/devtools/browser/x"}), nil
			})
			return atPort(t, guest.ReplayPort, p.play, m.Handler()), nil
		}
	}
}

// replayed reads what a page that plays a recording would.
func replayed(t *testing.T, b *baytest.Bay, r agentbay.Recording) string {
	t.Helper()
	ticket, part, ok := gate.CutReplayPath(r.URL)
	if !ok || part != "" {
		t.Fatalf("%q is no page that plays a replay", r.URL)
	}
	x, err := b.OpenReplay(ticket)
	must(t, err)
	defer x.File.Close()
	for {
		grown := x.Grown()
		text, err := io.ReadAll(x.File)
		must(t, err)
		if len(text) > 0 || grown == nil {
			return string(text)
		}
		<-grown
	}
}

func TestPagesAreRecordedIfThatIsWanted(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		replays bool
		want    *bool
		n       int
	}{{false, nil, 0}, {false, &yes, 1}, {false, &no, 0}, {true, nil, 1}, {true, &no, 0}} {
		b := baytest.New(t, withTape(t, &tape{text: "it"}), func(b *baytest.Bay) { b.Replays = test.replays })
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{Image: "browser_latest", Replay: test.want})
		all := recordings(t, s, id)
		if len(all) != test.n {
			t.Errorf("%+v: %d replays", test, len(all))
		}
		if test.n == 1 && (all[0].Kind != agentbay.RecordedPages || replayed(t, b, all[0]) != "it") {
			t.Errorf("recorded: %+v", all)
		}
		id = create(t, s, agentbay.SessionSpec{Image: "code_latest", Replay: test.want})
		if all := recordings(t, s, id); len(all) != 0 {
			t.Errorf("without a browser: %+v", all)
		}
	}
}

func TestABrowserIsRecordedFromItsOpeningOn(t *testing.T) {
	p := &tape{text: "it"}
	b := baytest.New(t, withTape(t, p))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Image: "browser_latest"})
	for range 2 { // the second time it is recorded already
		call, err := tool.OpenBrowser.Call(tool.BrowserIn{Record: true})
		must(t, err)
		r, err := s.CallTool(t.Context(), id, call)
		must(t, err)
		r.Body.Close()
	}
	if all := recordings(t, s, id); len(all) != 1 {
		t.Errorf("recorded: %+v", all)
	}
}

func TestAReplayGoesOnWhereItBrokeOff(t *testing.T) {
	p := &tape{text: "begun "}
	b := baytest.New(t, withTape(t, p))
	s := b.Service(t, "mine")
	yes := true
	id := create(t, s, agentbay.SessionSpec{Image: "browser_latest", Replay: &yes})
	r := recordings(t, s, id)[0]
	p.write("broken ")
	for replayed(t, b, r) != "begun broken " {
		time.Sleep(time.Millisecond)
	}
	must(t, b.Shutdown(t.Context()))
	p.write("restarted")
	_, s = restarted(t, b)
	for recordings(t, s, id)[0].Bytes != int64(len("begun broken restarted")) {
		time.Sleep(time.Millisecond)
	}
	must(t, s.DeleteSession(t.Context(), id))
	ended(t, s, id)
	all := recordings(t, s, id)
	if len(all) != 1 || all[0].Reason != "the session ended" || all[0].Name != r.Name || video(t, b, agentbay.Recording{URL: all[0].DataURL}) != "begun broken restarted" {
		t.Errorf("in the end: %+v", all)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if fmt.Sprint(p.from) != "[0 6 13]" {
		t.Errorf("asked for from %v", p.from)
	}
}

func TestPagesThatCannotBeRecordedAreToldOf(t *testing.T) {
	p := &tape{failed: "no recorder"}
	b := baytest.New(t, withTape(t, p), func(b *baytest.Bay) { b.Replays = true })
	s := b.Service(t, "mine")
	yes := true
	_, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Image: "browser_latest", Replay: &yes})
	if !errors.Is(err, agentbay.Unavailable) || !strings.Contains(err.Error(), "no recorder") {
		t.Errorf("asked for: %v", err)
	}
	create(t, s, agentbay.SessionSpec{Image: "browser_latest"}) // it was not asked for
}

func TestTicketsOfOtherFilesPlayNothing(t *testing.T) {
	b := baytest.New(t, withCamera(t, &camera{}))
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Record: &agentbay.RecordingSpec{}})
	r := recordings(t, s, id)[0]
	past := gate.FileTicket{Context: string(id), Path: "replay-1.jsonl", Expires: time.Now().Add(-time.Second)}
	video := gate.FileTicket{Context: string(id), Path: r.Name, Expires: time.Now().Add(time.Hour)}
	for name, ticket := range map[string]string{"a video": video.Sign(b.Secret), "old": past.Sign(b.Secret), "none": "tok-x"} {
		if _, err := b.OpenReplay(ticket); !errors.Is(err, agentbay.Denied) {
			t.Errorf("%s: %v, want Denied", name, err)
		}
	}
	none := gate.FileTicket{Context: string(id), Path: "replay-1.jsonl", Expires: time.Now().Add(time.Hour)}
	if _, err := b.OpenReplay(none.Sign(b.Secret)); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("what is not there: %v, want NotFound", err)
	}
}
