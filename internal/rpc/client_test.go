package rpc_test

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/bay/servicetest"
	"github.com/agentbay/agentbay/internal/listener"
	"github.com/agentbay/agentbay/internal/rpc"
)

// A client in front of a door is the same service as the bay behind it.
func TestClientIsService(t *testing.T) {
	servicetest.Run(t, func(t *testing.T) (mine, other agentbay.Service) {
		b := baytest.New(t)
		l, err := listener.Listen("127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		quiet := slog.New(slog.DiscardHandler)
		srv := &httptest.Server{Listener: l, Config: listener.Server(&rpc.Door{Bay: b, Log: quiet}, quiet)}
		srv.Start()
		t.Cleanup(srv.Close)
		return client(t, srv, b.NewKey(t, "mine")), client(t, srv, b.NewKey(t, "other"))
	})
}

func client(t *testing.T, srv *httptest.Server, key string) agentbay.Service {
	t.Helper()
	c, err := agentbay.NewClient(agentbay.WithEndpoint(srv.URL), agentbay.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
