package control

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
)

func join(t *testing.T, d *Desk, id string, act bool) (leave func()) {
	t.Helper()
	leave, err := d.Join(Viewer{ID: id, Address: "10.0.0.1", MayAct: act})
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func TestWhoHasControlActsAlone(t *testing.T) {
	var events []Event
	d := &Desk{Audit: func(e Event) { events = append(events, e) }}
	join(t, d, "a", true)
	join(t, d, "b", true)
	join(t, d, "watcher", false)
	if !d.May("a") || !d.May("b") || d.May("watcher") || d.May("stranger") {
		t.Error("without control, all act but who only watches")
	}
	if err := d.Take("watcher"); !errors.Is(err, agentbay.Denied) {
		t.Errorf("who only watches takes control: %v, want Denied", err)
	}
	if err := d.Take("a"); err != nil {
		t.Fatal(err)
	}
	if err := d.Take("b"); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("another takes control: %v, want Conflict", err)
	}
	if !d.May("a") || d.May("b") {
		t.Error("not only who has control acts")
	}
	d.HandBack("b", "it is not mine")
	if _, held := d.Held(); !held {
		t.Error("another handed it back")
	}
	d.HandBack("a", "done")
	if _, held := d.Held(); held || !d.May("b") {
		t.Error("handed back, it is still held")
	}
	if len(events) != 2 || events[0].Kind != "taken" || events[1].Kind != "handed back" || events[1].Note != "done" {
		t.Errorf("audited: %+v", events)
	}
}

func TestControlEndsSomeTimeAfterItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last Event
		d := &Desk{Audit: func(e Event) { last = e }}
		leave := join(t, d, "a", true)
		if err := d.Take("a"); err != nil {
			t.Fatal(err)
		}
		leave()
		time.Sleep(Grace - time.Second)
		leave = join(t, d, "a", true) // the page was loaded anew
		time.Sleep(Grace)
		if _, held := d.Held(); !held {
			t.Fatal("who came back has lost control")
		}
		leave()
		leave() // twice does no harm
		time.Sleep(Grace + time.Second)
		if _, held := d.Held(); held || last.Kind != "gone" || last.Held < 2*Grace {
			t.Errorf("who is gone holds control: %v; audited %+v", held, last)
		}
		if n := d.State().Viewers; n != 0 {
			t.Errorf("%d viewers are left", n)
		}
	})
}

func TestWaitingForControlToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(Desk)
		join(t, d, "a", true)
		if err := d.Free(t.Context()); err != nil {
			t.Errorf("nobody has control: %v", err)
		}
		d.Take("a")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Free(short); err == nil {
			t.Error("control has ended by itself")
		}
		freed := make(chan error, 1)
		go func() { freed <- d.Free(t.Context()) }()
		synctest.Wait()
		d.HandBack("a", "")
		if err := <-freed; err != nil {
			t.Errorf("after it was handed back: %v", err)
		}
	})
}

func TestHelpIsDoneWhenControlIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(Desk)
		leave := join(t, d, "a", true)
		h := d.Ask(agentbay.HelpLogin, "please log in", time.Minute)
		state := func() agentbay.Help { return d.State().Help[0] }
		if h.State != agentbay.HelpOpen || state().ID != h.ID {
			t.Errorf("asked: %+v", state())
		}
		d.Take("a")
		if state().State != agentbay.HelpTaken {
			t.Errorf("taken: %+v", state())
		}
		leave()
		time.Sleep(2 * Grace)
		if state().State != agentbay.HelpOpen {
			t.Errorf("who took it is gone: %+v, want it to be open again", state())
		}
		join(t, d, "b", true)
		d.Take("b")
		d.HandBack("b", "you are logged in")
		if got := state(); got.State != agentbay.HelpDone || got.Note != "you are logged in" {
			t.Errorf("handed back: %+v", got)
		}
		for range 100 {
			d.Ask(agentbay.HelpOther, "again", 0)
		}
		if n := len(d.State().Help); n != maxHelp {
			t.Errorf("%d requests are kept, want %d", n, maxHelp)
		}
	})
}

func TestHelpIsAnsweredOrWithdrawnWithoutControl(t *testing.T) {
	d := new(Desk)
	first, second := d.Ask(agentbay.HelpCaptcha, "solve it", time.Minute), d.Ask(agentbay.HelpOther, "and this", 0)
	changed := d.Changed()
	if err := d.Answer(first.ID, "solved"); err != nil {
		t.Fatal(err)
	}
	<-changed
	d.Withdraw(second.ID)
	left := d.State().Help
	if len(left) != 1 || left[0].State != agentbay.HelpDone || left[0].Note != "solved" || left[0].Kind != agentbay.HelpCaptcha {
		t.Errorf("left: %+v", left)
	}
	if err := d.Answer(first.ID, "again"); err != nil || d.State().Help[0].Note != "solved" {
		t.Errorf("answered twice: %v, %+v", err, d.State().Help)
	}
	if err := d.Answer(second.ID, ""); agentbay.CodeOf(err) != agentbay.NotFound {
		t.Errorf("answered after it was withdrawn: %v, want NotFound", err)
	}
}

func TestASuccessorKnowsWhatWasAskedFor(t *testing.T) {
	old, d := new(Desk), new(Desk)
	join(t, old, "a", true)
	h := old.Ask(agentbay.HelpLogin, "log in", 0)
	old.Take("a")
	d.Succeed(old)
	if got := d.State().Help; len(got) != 1 || got[0].ID != h.ID || got[0].State != agentbay.HelpOpen {
		t.Errorf("it knows of %+v", got)
	}
	if next := d.Ask(agentbay.HelpOther, "more", 0); next.ID == h.ID {
		t.Errorf("two requests have the ID %s", h.ID)
	}
}

func TestOnlySoManyLook(t *testing.T) {
	d := new(Desk)
	for i := range maxViewers {
		join(t, d, string(rune('A'+i)), false)
	}
	if _, err := d.Join(Viewer{ID: "one more"}); !errors.Is(err, agentbay.Exhausted) {
		t.Errorf("one more: %v, want Exhausted", err)
	}
	if _, err := d.Join(Viewer{ID: "A"}); err != nil {
		t.Errorf("one of them on another connection: %v", err)
	}
}
