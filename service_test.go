package agentbay_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/bay/servicetest"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/objects"
	"github.com/agentbay/agentbay/internal/rpc"
)

// serve puts the wire in front of a bay.
func serve(t *testing.T, b *baytest.Bay) *httptest.Server {
	quiet := slog.New(slog.DiscardHandler)
	actions := &rpc.Door{Bay: b.Bay, Log: quiet}
	files := &objects.Door{Bay: b.Bay, Secret: b.Secret, Log: quiet}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gate.IsFilePath(r.URL.Path) {
			files.ServeHTTP(w, r)
			return
		}
		actions.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

func newClient(t *testing.T, srv *httptest.Server, key string) *agentbay.Client {
	t.Helper()
	c, err := agentbay.NewClient(agentbay.WithEndpoint(srv.URL), agentbay.WithKey(key), agentbay.WithHTTPClient(srv.Client()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newBayClient makes a client in front of a bay of its own.
func newBayClient(t *testing.T) *agentbay.Client {
	t.Helper()
	b := baytest.New(t, realTools)
	return newClient(t, serve(t, b), b.NewKey(t, "mine"))
}

// The client in front of a server is the same service as the bay behind it.
func TestClientIsService(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) (mine, other agentbay.Service) {
		b := baytest.New(t)
		srv := serve(t, b)
		return newClient(t, srv, b.NewKey(t, "mine")), newClient(t, srv, b.NewKey(t, "other"))
	})
}
