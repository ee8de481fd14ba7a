package bay_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/captures"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// withLies makes linux_latest an image whose guest says of its browser and its
// screen what is well formed and not so.
func withLies(path string, picture []byte) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		b.Images.Build("linux_latest", "sha256:11e5", image.Config{Dir: "/", Families: []tool.Family{tool.Desktop, tool.Browser}})
		b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
			m := &guest.Mux{Token: spec.Token}
			guest.Handle(m, tool.OpenBrowser, func(context.Context, tool.BrowserIn) (guest.Answer, error) {
				return guest.JSON(tool.BrowserOut{Port: 9222, Path: path}), nil
			})
			guest.Handle(m, tool.Screenshot, func(context.Context, tool.ScreenshotIn) (guest.Answer, error) {
				return guest.JSON(tool.ScreenshotOut{Type: "image", Data: picture}), nil
			})
			return m.Handler(), nil
		}
	}
}

func TestABrowserThatIsNowhereIsNotLinkedTo(t *testing.T) {
	for _, path := range []string{"", "/json/version", "/devtools/browser/1?x=y", "/devtools/browser/1#x"} {
		s := baytest.New(t, withLies(path, nil)).Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		if link, err := s.BrowserLink(t.Context(), id); !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("at %q: %q, %v, want Unavailable", path, link, err)
		}
	}
}

func TestAPictureThatIsNoneIsNotKept(t *testing.T) {
	b := baytest.New(t, withLies("", []byte("no picture")), func(b *baytest.Bay) { b.Captures = &captures.Store{Dir: t.TempDir()} })
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	reply, err := s.CallTool(t.Context(), id, tool.Call{Name: tool.SystemScreenshot.Name})
	if !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("%v, %v, want Unavailable", reply, err)
	}
}
