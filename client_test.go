package agentbay_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

func TestNewClientSaysWhatIsMissing(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no key":       {map[string]string{"AGENTBAY_ENDPOINT": "localhost:1"}, "AGENTBAY_API_KEY"},
		"no endpoint":  {map[string]string{"AGENTBAY_API_KEY": "akm-x"}, "AGENTBAY_ENDPOINT"},
		"odd endpoint": {map[string]string{"AGENTBAY_API_KEY": "akm-x", "AGENTBAY_ENDPOINT": "ftp://x"}, "host:port"},
		"odd timeout":  {map[string]string{"AGENTBAY_API_KEY": "akm-x", "AGENTBAY_ENDPOINT": "x", "AGENTBAY_TIMEOUT_MS": "soon"}, "AGENTBAY_TIMEOUT_MS"},
		"no CA file":   {map[string]string{"AGENTBAY_API_KEY": "akm-x", "AGENTBAY_ENDPOINT": "x", "AGENTBAY_CA_FILE": "/none"}, "AGENTBAY_CA_FILE"},
	} {
		for _, v := range []string{"AGENTBAY_API_KEY", "AGENTBAY_ENDPOINT", "AGENTBAY_TIMEOUT_MS", "AGENTBAY_CA_FILE"} {
			t.Setenv(v, tc.env[v])
		}
		_, err := agentbay.NewClient()
		if !errors.Is(err, agentbay.Invalid) || !strings.Contains(agentbay.MessageOf(err), tc.want) {
			t.Errorf("%s: %v, want Invalid that names %s", name, err, tc.want)
		}
	}
}

// answer is a bay that always says the same.
func answer(t *testing.T, status int, body string) *agentbay.Client {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return newClient(t, srv, "akm-x")
}

func TestErrorsOfTheWireHaveCodesAndRequestIDs(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   agentbay.Code
	}{
		{400, `{"RequestId":"R","Success":false,"Code":"InvalidMcpSession.NotFound","Message":"Session s-1 not found"}`, agentbay.NotFound},
		{400, `{"RequestId":"R","Success":false,"Code":"NOT_LOGIN","Message":"m"}`, agentbay.Denied},
		{200, `{"RequestId":"R","Success":false,"Code":"QuotaExceeded","Message":"m","Data":{"Success":false,"ErrMsg":"m"}}`, agentbay.Exhausted},
		{200, `{"RequestId":"R","Success":false,"Code":"SomethingNew"}`, agentbay.Invalid},
		{503, `{"RequestId":"R","Success":false,"Code":"SomethingNew","Message":"m"}`, agentbay.Unavailable},
		{429, `{"RequestId":"R","Success":false,"Code":"Throttling","Message":"m"}`, agentbay.Exhausted},
	} {
		_, err := answer(t, tc.status, tc.body).CreateSession(t.Context(), agentbay.SessionSpec{})
		var e *agentbay.Error
		if !errors.As(err, &e) || e.Code != tc.want || e.RequestID != "R" || e.Message == "" {
			t.Errorf("%d %s: %v, want %s of request R", tc.status, tc.body, err, tc.want)
		}
	}
}

func TestWhatIsNoBayIsSaidToBeNone(t *testing.T) {
	for _, body := range []string{"", "<html>", `[]`, `"x"`} {
		_, err := answer(t, 200, body).Session(t.Context(), "session-x")
		if err == nil || !strings.Contains(err.Error(), "does not answer like a bay") {
			t.Errorf("answer %q: %v", body, err)
		}
	}
}

func TestCallsEndAfterTheTimeout(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // until then the server does not notice that the client is gone
		<-r.Context().Done()
	}))
	defer silent.Close()
	c, err := agentbay.NewClient(agentbay.WithEndpoint(silent.URL), agentbay.WithKey("akm-x"), agentbay.WithTimeout(20*time.Millisecond))
	must(t, err)
	if err := c.KeepAlive(t.Context(), "session-x"); !errors.Is(err, agentbay.Unavailable) || !strings.Contains(err.Error(), "AGENTBAY_TIMEOUT_MS") {
		t.Errorf("call that is not answered: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.KeepAlive(ctx, "session-x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call: %v", err)
	}
}

func TestAnUnreachableBayIsUnavailable(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	if err := newClient(t, gone, "akm-x").KeepAlive(t.Context(), "session-x"); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("call of a bay that is gone: %v, want Unavailable", err)
	}
}

// Sessions of images that offer no link are called through the endpoint.
func TestToolsAreCalledWithoutALinkToo(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		must(t, r.ParseForm())
		data := `{"SessionId":"session-x","Token":"t","LinkUrl":""}`
		if r.Form.Get("Action") == "CallMcpTool" {
			data = `{"content":[{"type":"text","text":"{\"stdout\":\"` + r.Form.Get("Name") + `\",\"exit_code\":0}"}],"isError":false}`
		}
		w.Write([]byte(`{"RequestId":"R","Success":true,"Code":"ok","Data":` + data + `}`))
	}))
	defer srv.Close()
	s, err := newClient(t, srv, "akm-x").Open(t.Context(), "session-x")
	must(t, err)
	if out, err := s.Command("x").Output(t.Context()); string(out) != "shell" || err != nil {
		t.Errorf("command without a link: %q, %v", out, err)
	}
}

func TestBrokenAnswersAreErrors(t *testing.T) {
	link := map[string]string{
		"cut":        `{"data":{"result":{"content":[{"text":"ab`,
		"not JSON":   `hello`,
		"no answer":  ``,
		"wrong type": `{"data":{"result":{"content":5}}}`,
	}
	for name, body := range link {
		mux := http.NewServeMux()
		mux.HandleFunc("/callTool", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
		srv := httptest.NewServer(mux)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte(`{"RequestId":"R","Success":true,"Data":{"SessionId":"session-x","Token":"t","LinkUrl":"` + srv.URL + `"}}`))
		})
		_, err := newClient(t, srv, "akm-x").CallTool(t.Context(), "session-x", tool.Call{Name: "shell"})
		if !errors.Is(err, agentbay.Unavailable) {
			t.Errorf("answer of a tool that is %s: %v, want Unavailable", name, err)
		}
		srv.Close()
	}
}

func TestCAFileIsTrusted(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"RequestId":"R","Success":true}`))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	host := strings.TrimPrefix(srv.URL, "https://")
	c, err := agentbay.NewClient(agentbay.WithEndpoint(host), agentbay.WithKey("akm-x"), agentbay.WithCAFile(file))
	must(t, err)
	if err := c.KeepAlive(t.Context(), "session-x"); err != nil {
		t.Errorf("call with the CA file: %v", err)
	}
}
