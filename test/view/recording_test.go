package view

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agentbay/agentbay"
)

// play opens a video as a person does, and returns when it shows a picture.
func (d desk) play(url string) *tab {
	d.Helper()
	p := d.browser.open(url)
	p.wait("document.querySelector('video')?.readyState >= 2")
	return p
}

// seen is what a video shows at a second, as the colours of a small picture of it.
func seen(p *tab, second float64) string {
	p.eval(fmt.Sprintf("(() => { const v = document.querySelector('video'); v.pause(); v.currentTime = %g; })()", second))
	p.wait("!document.querySelector('video').seeking && document.querySelector('video').readyState >= 2") // such a page runs no scripts
	return p.eval(`(() => { const v = document.querySelector('video'), c = document.createElement('canvas');
		c.width = 16; c.height = 9; const g = c.getContext('2d'); g.drawImage(v, 0, 0, 16, 9);
		return JSON.stringify(Array.from(g.getImageData(0, 0, 16, 9).data)); })()`)
}

func TestARecordingPlays(t *testing.T) {
	d := newDesk(t)
	p := d.look(true)
	if _, err := d.session.StartRecording(t.Context(), agentbay.RecordingSpec{}); err != nil {
		t.Fatal(err)
	}
	p.wait("!document.getElementById('filmed').hidden")
	p.shoot("view-recording")
	d.reader("/tmp/person.txt")
	all, err := d.session.Recordings(t.Context())
	must(t, err)
	d.play(all[0].URL) // while it goes on

	over, err := d.session.StopRecording(t.Context())
	must(t, err)
	p.wait("document.getElementById('filmed').hidden")
	must(t, d.session.Delete(t.Context()))
	v := d.play(over.URL)
	if v.eval("document.querySelector('video').duration > 1") != "true" {
		t.Errorf("it lasts %s s", v.eval("document.querySelector('video').duration"))
	}
	first, last := seen(v, 0), seen(v, 1e9)
	if first == last {
		t.Error("a window was opened, and its first and last picture are the same")
	}
	if again := seen(v, 0); again != first {
		t.Error("its first picture is another one after seeking back")
	}
	v.shoot("recording")
}

func TestARecordingIsServedInParts(t *testing.T) {
	d := newDesk(t)
	_, err := d.session.StartRecording(t.Context(), agentbay.RecordingSpec{})
	must(t, err)
	r, err := d.session.StopRecording(t.Context())
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL, nil)
	must(t, err)
	req.Header.Set("Range", "bytes=4-7")
	answer, err := http.DefaultClient.Do(req)
	must(t, err)
	defer answer.Body.Close()
	part, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.StatusCode != http.StatusPartialContent || string(part) != "ftyp" || answer.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("%s, %q of %s", answer.Status, part, answer.Header.Get("Content-Type"))
	}
	forged := strings.Replace(r.URL, "tok-", "tok-x", 1)
	answer, err = http.Get(forged)
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusNotFound {
		t.Errorf("a forged URL: %s", answer.Status)
	}
}
