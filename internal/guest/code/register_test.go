package code

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// post asks a guest for something as the host does.
func post(t *testing.T, ks *Kernels, path string, in tool.RunCodeIn) *httptest.ResponseRecorder {
	t.Helper()
	m := &guest.Mux{Token: "secret"}
	ks.Register(m)
	args, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(string(args)))
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w
}

func TestFailureIsAFailedAnswerWithTheWholeJSON(t *testing.T) {
	ks := open(t, "python", 0)
	w := post(t, ks, "/call/run_code", tool.RunCodeIn{Language: "python", Code: "print('before')\n1/0"})
	var out tool.RunCodeOut
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if w.Header().Get(guest.FailedHeader) != "true" || out.ExecutionError != "ZeroDivisionError: division by zero" ||
		len(out.Stdout) != 1 || !strings.Contains(out.Traceback, "1/0") || out.TraceID == "" {
		t.Errorf("failed %q: %+v", w.Header().Get(guest.FailedHeader), out)
	}
}

func TestUnknownLanguageIsAFailureInWords(t *testing.T) {
	w := post(t, New(Config{}), "/call/run_code", tool.RunCodeIn{Language: "ruby"})
	if w.Header().Get(guest.FailedHeader) != "true" || !strings.Contains(w.Body.String(), "unsupported language") {
		t.Errorf("%s", w.Body)
	}
}

func TestStreamEndsWithTheRest(t *testing.T) {
	ks := open(t, "python", 0)
	w := post(t, ks, "/stream/run_code", tool.RunCodeIn{Language: "python", Code: "print('out')\n1 + 1"})
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	var last tool.CodeEvent
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	if last.Type != "end" || last.End == nil || last.End.ExecutionCount != 1 || len(last.End.Stdout) != 0 {
		t.Errorf("last event %+v", last)
	}
	if !strings.Contains(w.Body.String(), `"type":"result"`) || !strings.Contains(w.Body.String(), `"text/plain":"2"`) {
		t.Errorf("events %s", w.Body)
	}
}
