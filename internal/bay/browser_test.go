package bay_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/tool"
)

// withBrowser makes linux_latest an image whose browser writes its cookies to the
// session's mount when it is closed, and then fails with err.
func withBrowser(err error) func(*baytest.Bay) {
	return func(b *baytest.Bay) {
		b.Images.Build("linux_latest", "sha256:b0", image.Config{Dir: "/", Families: []tool.Family{tool.Browser}})
		b.Host.Guest = func(spec fake.Spec) (http.Handler, error) {
			m := &guest.Mux{Token: spec.Token}
			guest.Handle(m, tool.StopChrome, func(ctx context.Context, _ tool.None) (guest.Answer, error) {
				written, failed := b.Host.Written(ctx, spec.ID, b.Host.Mounts(spec.ID)[0].Name)
				if failed != nil {
					return guest.Answer{}, failed
				}
				defer written.Close()
				return guest.Text("closed"), errors.Join(err, os.WriteFile(filepath.Join(written.Upper, "Cookies"), []byte("a=1"), 0o600))
			})
			return m.Handler(), nil
		}
	}
}

func TestABrowserIsClosedBeforeItsProfileIsSaved(t *testing.T) {
	for _, failure := range []error{nil, errors.New("it does not close")} {
		b := baytest.New(t, withBrowser(failure))
		s := b.Service(t, "mine")
		x := newContext(t, s)
		id := create(t, s, agentbay.SessionSpec{Contexts: []agentbay.ContextMount{at(x, "/tmp/agentbay_browser")}})
		must(t, s.DeleteSession(t.Context(), id))
		ended(t, s, id)
		if got := content(t, b.Bay, x, "/tmp/agentbay_browser/Cookies"); got != "a=1" {
			t.Errorf("closed with %v, %q was saved, want a=1", failure, got)
		}
	}
}
