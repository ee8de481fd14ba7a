// Package view looks at a session as a person does: through its page, in a real
// browser, on a real bay.
package view

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// A desk is a session with a screen, and a browser to look at it with.
type desk struct {
	testing.TB
	bay     *live.Bay
	session *agentbay.Session
	browser *browser
}

func newDesk(t *testing.T) desk {
	b := live.New(t, "--warm", "linux_latest=0,code_latest=0")
	s, err := b.Client.Create(t.Context(), agentbay.SessionSpec{})
	must(t, err)
	return desk{t, b, s, newBrowser(t)}
}

// look opens the session's page and waits until it shows the screen.
func (d desk) look(watchOnly bool) *tab {
	d.Helper()
	url, err := d.session.ViewLink(d.Context(), watchOnly)
	must(d, err)
	p := d.browser.open(url)
	p.wait("document.getElementById('state')?.dataset.state === 'connected'")
	p.wait(hasPicture)
	return p
}

// hasPicture says that the screen is not empty.
const hasPicture = `(() => { const c = document.querySelector('#screen canvas'); if (!c || c.width < 1000) return false;
	return c.getContext('2d').getImageData(900, 600, 1, 1).data[2] > 20; })()`

// reader starts a program that writes what is typed to a file.
func (d desk) reader(file string) {
	d.Helper()
	_, err := d.session.Computer().Start(d.Context(), `lxterminal -e 'sh -c "stty -echo; cat > `+file+`"'`)
	must(d, err)
}

func (d desk) read(file string) string {
	b, err := d.session.FS(d.Context()).ReadFile(strings.TrimPrefix(file, "/"))
	if err != nil {
		return ""
	}
	return string(b)
}

// refused reports whether the agent's input is refused because of a person.
func (d desk) refused() bool {
	d.Helper()
	err := d.session.Computer().Type(d.Context(), "a")
	if err != nil && !strings.Contains(err.Error(), "a person is in control") {
		d.Fatal(err)
	}
	return err != nil
}

func TestAPersonSeesAndTypes(t *testing.T) {
	d := newDesk(t)
	p := d.look(false)
	before := p.eval("document.querySelector('#screen canvas').toDataURL()")
	d.reader("/tmp/person.txt")
	p.wait("document.querySelector('#screen canvas').toDataURL() !== '" + before + "'")
	p.typeKeys("hello\n")
	eventually(t, "what the person types arrives", func() bool { return d.read("/tmp/person.txt") == "hello\n" })
	p.shoot("view")

	watcher := d.look(true)
	watcher.wait("document.getElementById('who').textContent.includes('watching')")
	watcher.wait("document.getElementById('control').hidden")
	p.wait("document.getElementById('viewers').textContent === '2 viewers'")
	watcher.typeKeys("bad")
	p.typeKeys("good\n")
	eventually(t, "only who may type does", func() bool { return d.read("/tmp/person.txt") == "hello\ngood\n" })
	watcher.shoot("view-watching")
}

func TestAPersonTakesOver(t *testing.T) {
	d := newDesk(t)
	p, second := d.look(false), d.look(false)
	d.reader("/tmp/person.txt")
	if d.refused() {
		t.Error("the agent is refused while nobody has control")
	}
	helped := make(chan *agentbay.Help, 1)
	go func() {
		h, err := d.session.RequestHelp(t.Context(), "please enter the code from the letter")
		if err != nil {
			t.Error(err)
		}
		helped <- h
	}()
	p.wait("!document.getElementById('help').hidden && document.getElementById('message').textContent.includes('the letter')")
	p.shoot("view-help")
	p.click("helptake")
	p.wait("document.getElementById('who').className === 'you'")
	second.wait("document.getElementById('who').className === 'somebody'")
	if !d.refused() {
		t.Error("the agent is not refused while a person has control")
	}
	if _, err := d.session.Computer().Screenshot(t.Context(), "jpeg"); err != nil {
		t.Errorf("a picture while a person has control: %v", err)
	}
	second.typeKeys("bad")
	p.typeKeys("code\n")
	eventually(t, "only who has control types", func() bool { return strings.HasSuffix(d.read("/tmp/person.txt"), "code\n") })
	if got := d.read("/tmp/person.txt"); strings.Contains(got, "bad") {
		t.Errorf("typed %q", got)
	}
	p.shoot("view-control")

	p.eval("location.reload()")
	p.wait("document.getElementById('who')?.className === 'you'")
	p.click("control")
	p.eval("document.getElementById('note').value = 'it is done'")
	p.click("handbackok")
	eventually(t, "the request for help is done", func() bool { return len(helped) > 0 })
	if h := <-helped; h == nil || h.State != agentbay.HelpDone || h.Note != "it is done" {
		t.Errorf("the request ended as %+v", h)
	}
	if d.refused() {
		t.Error("the agent is refused after it was handed back")
	}
	c, err := d.session.Control(t.Context())
	must(t, err)
	if len(c.History) != 2 || c.History[1].Kind != "handed back" || c.History[1].Held <= 0 || c.History[0].Address != "127.0.0.1" {
		t.Errorf("audited: %+v", c.History)
	}
}

func TestAPageSurvivesTheServer(t *testing.T) {
	d := newDesk(t)
	p := d.look(false)
	_, err := d.session.StartRecording(t.Context(), agentbay.RecordingSpec{})
	must(t, err)
	d.bay.Kill()
	p.wait("document.getElementById('state').dataset.state === 'lost'")
	p.shoot("view-lost")
	d.bay.Start()
	p.wait("document.getElementById('state').dataset.state === 'connected'")
	p.wait(hasPicture)
	p.wait("!document.getElementById('filmed').hidden")
	all, err := d.bay.Client.Recordings(t.Context(), d.session.ID)
	must(t, err)
	if len(all) != 2 || all[0].Reason != "the server was restarted" || !all[1].EndedAt.IsZero() {
		t.Errorf("what was recorded goes on as %+v", all)
	}
	d.play(all[0].URL)

	info, err := d.bay.Client.Session(t.Context(), d.session.ID)
	must(t, err)
	must(t, d.bay.Client.RevokeViews(t.Context(), d.session.ID))
	p.wait("document.getElementById('overlaytext').textContent.includes('revoked')")
	url, err := d.bay.Client.ViewLink(t.Context(), info.ID, false)
	must(t, err)
	for name, address := range map[string]string{
		"forged":    strings.Replace(url, "tok-", "tok-x", 1),
		"no page":   strings.Replace(url, string(info.ID), "session-none", 1),
		"no screen": strings.Split(url, "?")[0] + "nonesuch",
	} {
		answer, err := http.Get(address)
		must(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
	q := d.browser.open(url)
	q.wait("document.getElementById('state')?.dataset.state === 'connected'")
	must(t, d.bay.Client.DeleteSession(t.Context(), info.ID))
	q.wait("document.getElementById('state').dataset.state === 'ended'")
	q.shoot("view-ended")
	if _, err := d.bay.Client.ViewLink(t.Context(), info.ID, false); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("a link to what has ended: %v, want NotFound", err)
	}
}
