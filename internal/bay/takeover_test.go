package bay_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/control"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// withScreen makes linux_latest an image whose guest does nothing, but has a screen.
func withScreen(b *baytest.Bay) {
	b.Images.Build("linux_latest", "sha256:5c12ee", image.Config{Dir: "/", Families: []tool.Family{tool.Desktop}})
	b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
		m := &guest.Mux{Token: spec.Token}
		guest.Handle(m, tool.InputText, func(context.Context, tool.TextIn) (guest.Answer, error) { return guest.Text("typed"), nil })
		guest.Handle(m, tool.ScreenSize, func(context.Context, tool.None) (guest.Answer, error) { return guest.JSON(tool.ScreenOut{}), nil })
		return m.Handler(), nil
	}
}

// openPage opens the page behind a link.
func openPage(t *testing.T, b *baytest.Bay, path string) (*bay.Viewing, error) {
	t.Helper()
	session, token, _, ok := gate.CutViewPath(path)
	if !ok {
		t.Fatalf("%q is no page", path)
	}
	return b.View(t.Context(), agentbay.SessionID(session), token)
}

// sit takes a seat at a session's screen.
func sit(t *testing.T, b *baytest.Bay, s agentbay.Service, id agentbay.SessionID, name string) (*bay.Viewing, func()) {
	t.Helper()
	path, err := s.ViewLink(t.Context(), id, false)
	must(t, err)
	v, err := openPage(t, b, path)
	must(t, err)
	leave, err := v.Desk.Join(control.Viewer{ID: name, Address: "10.0.0.9", MayAct: v.MayAct})
	must(t, err)
	return v, leave
}

// do calls a tool, and returns its text.
func do(t *testing.T, s agentbay.Service, id agentbay.SessionID, name, args string) (text string, failed bool) {
	t.Helper()
	reply, err := s.CallTool(t.Context(), id, tool.Call{Name: name, Args: []byte(args)})
	must(t, err)
	r, err := reply.Result(1 << 16)
	must(t, err)
	return r.Text, r.Failed
}

func TestWhileAPersonHasControlTheAgentOnlyLooks(t *testing.T) {
	b := baytest.New(t, withScreen)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	v, _ := sit(t, b, s, id, "a")
	if _, failed := do(t, s, id, "input_text", `{"text":"x"}`); failed {
		t.Error("the agent's input is refused while somebody only looks")
	}
	must(t, v.Desk.Take("a"))
	if text, failed := do(t, s, id, "input_text", `{"text":"x"}`); !failed || !strings.Contains(text, "a person is in control") {
		t.Errorf("input while a person has control: %q, %v", text, failed)
	}
	if text, failed := do(t, s, id, "get_screen_size", `{}`); failed {
		t.Errorf("looking while a person has control: %q", text)
	}
	v.Desk.HandBack("a", "all yours")
	if text, failed := do(t, s, id, "input_text", `{"text":"x"}`); failed {
		t.Errorf("input after it was handed back: %q", text)
	}
	c, err := s.Control(t.Context(), id)
	must(t, err)
	if c.Held || c.Viewers != 1 || len(c.History) != 2 || c.History[0].Kind != "taken" || c.History[1].Note != "all yours" || c.History[1].Address != "10.0.0.9" {
		t.Errorf("control afterwards: %+v", c)
	}
}

func TestInputWaitsWhereTheSessionWantsThat(t *testing.T) {
	b := baytest.New(t, withScreen)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{OnTakeOver: agentbay.WaitForHandBack})
	v, _ := sit(t, b, s, id, "a")
	must(t, v.Desk.Take("a"))
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.CallTool(short, id, tool.Call{Name: "input_text", Args: []byte(`{"text":"x"}`)}); err == nil {
		t.Error("input did not wait")
	}
	typed := make(chan error, 1)
	go func() {
		reply, err := s.CallTool(t.Context(), id, tool.Call{Name: "input_text", Args: []byte(`{"text":"x"}`)})
		if err == nil {
			err = reply.Body.Close()
		}
		typed <- err
	}()
	v.Desk.HandBack("a", "")
	must(t, <-typed)
	if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{OnTakeOver: "panic"}); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("another word: %v, want Invalid", err)
	}
}

func TestLinksOpenOnePageUntilTheyAreRevoked(t *testing.T) {
	b := baytest.New(t, withScreen)
	s, other := b.Service(t, "mine"), b.Service(t, "other")
	id, second := create(t, s, agentbay.SessionSpec{}), create(t, s, agentbay.SessionSpec{})
	acting, err := s.ViewLink(t.Context(), id, false)
	must(t, err)
	watching, err := s.ViewLink(t.Context(), id, true)
	must(t, err)
	if v, err := openPage(t, b, acting); err != nil || !v.MayAct || v.Dial == nil {
		t.Errorf("a link to act: %+v, %v", v, err)
	}
	if v, err := openPage(t, b, watching); err != nil || v.MayAct {
		t.Errorf("a link to watch: %+v, %v", v, err)
	}
	if _, err := openPage(t, b, strings.Replace(acting, string(id), string(second), 1)); !errors.Is(err, agentbay.Denied) {
		t.Errorf("another session's token: %v, want Denied", err)
	}
	if _, err := other.ViewLink(t.Context(), id, false); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("a link for somebody else: %v, want NotFound", err)
	}
	v, _ := sit(t, b, s, id, "a")
	must(t, s.RevokeViews(t.Context(), id))
	if v.Desk.State().Over == nil {
		t.Error("an open page is not told that its link was revoked")
	}
	for _, path := range []string{acting, watching} {
		if _, err := openPage(t, b, path); !errors.Is(err, agentbay.Denied) || !strings.Contains(err.Error(), "ask for a new one") {
			t.Errorf("a revoked link: %v, want Denied", err)
		}
	}
	info, err := s.Session(t.Context(), id)
	must(t, err)
	if v, err := openPage(t, b, info.ResourceURL); err != nil || !v.MayAct {
		t.Errorf("the new link of the session: %+v, %v", v, err)
	}
	must(t, s.DeleteSession(t.Context(), id))
	if _, err := openPage(t, b, info.ResourceURL); err == nil {
		t.Error("the link of a session that has ended opens it")
	}
}

func TestPeopleAreIdleByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t, withScreen)
		s := b.Service(t, "mine")
		spec := agentbay.SessionSpec{IdleTimeout: time.Minute}
		watched, used, held := create(t, s, spec), create(t, s, spec), create(t, s, spec)
		sit(t, b, s, watched, "a")
		v, _ := sit(t, b, s, used, "b")
		h, _ := sit(t, b, s, held, "c")
		must(t, h.Desk.Take("c"))
		time.Sleep(50 * time.Second)
		v.Touch()
		time.Sleep(50 * time.Second)
		wantState(t, s, watched, agentbay.Finished, "idle for 60 s")
		wantState(t, s, used, agentbay.Running, "")
		wantState(t, s, held, agentbay.Running, "")
		time.Sleep(20 * time.Second)
		wantState(t, s, used, agentbay.Finished, "idle for 60 s")
		wantState(t, s, held, agentbay.Running, "")
		h.Desk.HandBack("c", "")
		time.Sleep(50 * time.Second)
		wantState(t, s, held, agentbay.Running, "")
		time.Sleep(20 * time.Second)
		wantState(t, s, held, agentbay.Finished, "idle for 60 s")
	})
}
