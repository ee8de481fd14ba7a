// Package servicetest is what it means to be an [agentbay.Service], whoever
// stands behind it: the bay itself, or a client and a wire in front of it.
package servicetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// Run runs the suite. open returns the services of two API keys of one bay that
// has the images code_latest and linux_latest. It is called once a test; it may
// return the same ones again, and sessions of others may be there.
func Run(t *testing.T, open func(t *testing.T) (mine, other agentbay.Service)) {
	tests := map[string]func(*testing.T, agentbay.Service, agentbay.Service){
		"CreateReturnsAWorkingSession":     createWorks,
		"CreateRefusesWhatIsOutOfBounds":   createRefuses,
		"UnknownSessionIsNotFound":         unknown,
		"AnotherKeysSessionIsNotFound":     tenants,
		"DeletedSessionEnds":               deleted,
		"ListingPagesNewestFirst":          paging,
		"ListingRefusesWhatIsOutOfBounds":  listRefuses,
		"LabelsAreReplacedAndFound":        labels,
		"SessionsHaveTheirOwnFiles":        ownFiles,
		"ToolFailureIsAReply":              toolFailure,
		"UnknownToolIsAFailedReply":        unknownTool,
		"ImageSaysItsTools":                imageTools,
		"StreamYieldsEventsInOrder":        stream,
		"StreamStopsWhenYieldFails":        streamStops,
		"CallStopsWithItsContext":          callStops,
		"KeepAliveWantsARunningSession":    keepAlive,
		"ConcurrentCallsDoNotMix":          concurrent,
		"RecordingWantsAScreen":            recordingWants,
		"MetricsAreAnswered":               metrics,
		"ArgumentsThatDoNotFitAreAnswered": badArguments,
	}
	maps.Copy(tests, contextTests)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			mine, other := open(t)
			test(t, mine, other)
		})
	}
}

// recordingWants records a session of an image that has no screen, and one that
// there is none of.
func recordingWants(t *testing.T, s, other agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{Image: "code_latest"})
	if _, err := s.StartRecording(t.Context(), info.ID, agentbay.RecordingSpec{}); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("without a screen: %v, want Invalid", err)
	}
	spec := agentbay.SessionSpec{Image: "code_latest", Record: &agentbay.RecordingSpec{FrameRate: 5}}
	if _, err := s.CreateSession(t.Context(), spec); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("from the start, without a screen: %v, want Invalid", err)
	}
	if _, err := s.StopRecording(t.Context(), info.ID); !errors.Is(err, agentbay.Conflict) {
		t.Errorf("what is not recorded: %v, want Conflict", err)
	}
	if all, err := s.Recordings(t.Context(), info.ID); err != nil || len(all) != 0 {
		t.Errorf("recordings: %+v, %v", all, err)
	}
	if _, err := other.Recordings(t.Context(), info.ID); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("of another key's session: %v, want NotFound", err)
	}
}

func createWorks(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{Labels: map[string]string{"a": "b"}})
	if info.ID == "" || info.State != agentbay.Running || info.Token == "" {
		t.Errorf("CreateSession: %+v", info)
	}
	got, err := s.Session(t.Context(), info.ID)
	if err != nil || got.ID != info.ID || got.State != agentbay.Running || got.Token != info.Token {
		t.Errorf("Session after CreateSession: %+v, %v; want %+v", got, err, info)
	}
	if out := shell(t, s, info.ID, "echo hello"); out.Stdout != "hello\n" {
		t.Errorf("echo hello: %+v", out)
	}
}

func createRefuses(t *testing.T, s, _ agentbay.Service) {
	mark := newMark()
	for name, spec := range map[string]agentbay.SessionSpec{
		"unknown image":     {Image: "no_such_image"},
		"negative time-out": {IdleTimeout: -time.Second},
		"empty label":       {Labels: map[string]string{"": "x"}},
		"empty value":       {Labels: map[string]string{"x": ""}},
		"long key":          {Labels: map[string]string{strings.Repeat("k", 129): "x"}},
		"long value":        {Labels: map[string]string{"x": strings.Repeat("v", 4097)}},
		"NUL":               {Labels: map[string]string{"x": "a\x00b"}},
		"101 labels":        {Labels: many(101)},
	} {
		if name == "unknown image" || name == "negative time-out" {
			spec.Labels = mark
		}
		if _, err := s.CreateSession(t.Context(), spec); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("CreateSession with %s: %v, want Invalid", name, err)
		}
	}
	page, err := s.Sessions(t.Context(), agentbay.SessionQuery{Labels: mark})
	if err != nil || page.Total != 0 {
		t.Errorf("after refusals there are %+v, %v", page, err)
	}
}

// newMark makes a label that no other session has.
func newMark() map[string]string { return map[string]string{"mark": rand.Text()} }

func many(n int) map[string]string {
	labels := map[string]string{}
	for i := range n {
		labels[fmt.Sprint("key", i)] = "value"
	}
	return labels
}

// everything is every call that names a session.
func everything(ctx context.Context, s agentbay.Service, id agentbay.SessionID) map[string]error {
	_, session := s.Session(ctx, id)
	_, call := s.CallTool(ctx, id, mustCall(tool.RunShell, tool.ShellIn{Command: "echo hello"}))
	_, start := s.StartRecording(ctx, id, agentbay.RecordingSpec{})
	_, stop := s.StopRecording(ctx, id)
	_, link := s.ViewLink(ctx, id, true)
	_, control := s.Control(ctx, id)
	_, browser := s.BrowserLink(ctx, id)
	_, help := s.RequestHelp(ctx, id, "please")
	return map[string]error{
		"BrowserLink":    browser,
		"Session":        session,
		"CallTool":       call,
		"StartRecording": start,
		"StopRecording":  stop,
		"ViewLink":       link,
		"RevokeViews":    s.RevokeViews(ctx, id),
		"Control":        control,
		"RequestHelp":    help,
		"AnswerHelp":     s.AnswerHelp(ctx, id, "help-1", ""),
		"StreamTool":     s.StreamTool(ctx, id, mustCall(tool.RunCode, tool.RunCodeIn{Code: "1"}), func([]byte) error { return nil }),
		"SetLabels":      s.SetLabels(ctx, id, map[string]string{"a": "b"}),
		"KeepAlive":      s.KeepAlive(ctx, id),
		"DeleteSession":  s.DeleteSession(ctx, id),
	}
}

func unknown(t *testing.T, s, _ agentbay.Service) {
	for _, id := range []agentbay.SessionID{"session-none", "x", "../../etc/passwd", agentbay.SessionID(strings.Repeat("x", 5000))} {
		for name, err := range everything(t.Context(), s, id) {
			if !errors.Is(err, agentbay.NotFound) || !strings.Contains(agentbay.MessageOf(err), "not found") {
				t.Errorf("%s of %.20q: %v, want NotFound, saying so", name, id, err)
			}
		}
	}
}

func tenants(t *testing.T, mine, other agentbay.Service) {
	mark := newMark()
	info := create(t, mine, agentbay.SessionSpec{Labels: mark})
	for name, err := range everything(t.Context(), other, info.ID) {
		if !errors.Is(err, agentbay.NotFound) {
			t.Errorf("%s of another key's session: %v, want NotFound", name, err)
		}
	}
	page, err := other.Sessions(t.Context(), agentbay.SessionQuery{Labels: mark})
	if err != nil || page.Total != 0 || len(page.Sessions) != 0 {
		t.Errorf("another key lists %+v, %v", page, err)
	}
	if out := shell(t, mine, info.ID, "echo still"); out.Stdout != "still\n" {
		t.Errorf("after another key tried: %+v", out)
	}
}

func deleted(t *testing.T, s, _ agentbay.Service) {
	mark := newMark()
	ctx, info := t.Context(), create(t, s, agentbay.SessionSpec{Labels: mark})
	if err := s.DeleteSession(ctx, info.ID); err != nil {
		t.Fatalf("DeleteSession: %v", err)
	}
	for {
		got, err := s.Session(ctx, info.ID)
		if err != nil {
			t.Fatalf("Session after DeleteSession: %v, want it to be known for a while", err)
		}
		if got.State.Ended() {
			break
		}
		if got.State != agentbay.Deleting {
			t.Fatalf("state after DeleteSession: %s", got.State)
		}
		pause(t)
	}
	after := everything(ctx, s, info.ID)
	delete(after, "Session")
	for name, err := range after {
		if !errors.Is(err, agentbay.NotFound) || !strings.Contains(agentbay.MessageOf(err), "not found") {
			t.Errorf("%s after DeleteSession: %v, want NotFound, saying so", name, err)
		}
	}
	if page, err := s.Sessions(ctx, agentbay.SessionQuery{Labels: mark}); err != nil || page.Total != 0 {
		t.Errorf("deleted session is listed: %+v, %v", page, err)
	}
}

// pause is the time between two questions, as a client would ask them.
func pause(t *testing.T) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-t.Context().Done():
	}
}

func paging(t *testing.T, s, _ agentbay.Service) {
	mark := newMark()
	var made []agentbay.SessionID
	for range 5 {
		made = append(made, create(t, s, agentbay.SessionSpec{Image: "code_latest", Labels: mark}).ID)
	}
	var seen []agentbay.SessionID
	for q := (agentbay.SessionQuery{Labels: mark, Limit: 2}); ; {
		page, err := s.Sessions(t.Context(), q)
		if err != nil || page.Total != 5 || len(page.Sessions) > 2 {
			t.Fatalf("page: %+v, %v", page, err)
		}
		for _, x := range page.Sessions {
			seen = append(seen, x.ID)
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	for i, id := range seen {
		if id != made[len(made)-1-i] {
			t.Fatalf("made %v, listed %v; want newest first", made, seen)
		}
	}
	if len(seen) != len(made) {
		t.Errorf("made %d, listed %d", len(made), len(seen))
	}
}

func listRefuses(t *testing.T, s, _ agentbay.Service) {
	for name, q := range map[string]agentbay.SessionQuery{
		"foreign token": {Token: "page-2"},
		"unknown state": {State: "SLEEPING"},
	} {
		if _, err := s.Sessions(t.Context(), q); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("Sessions with %s: %v, want Invalid", name, err)
		}
	}
}

func labels(t *testing.T, s, _ agentbay.Service) {
	ctx := t.Context()
	mark := newMark()
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(mark)
		maps.Copy(all, more)
		return all
	}
	info := create(t, s, agentbay.SessionSpec{Labels: with(map[string]string{"env": "test", "team": "a"})})
	create(t, s, agentbay.SessionSpec{Labels: with(map[string]string{"env": "test"})})
	want := with(map[string]string{"env": "prod", "ü": "\" \\ 雪"})
	if err := s.SetLabels(ctx, info.ID, want); err != nil {
		t.Fatalf("SetLabels: %v", err)
	}
	for _, tc := range []struct {
		filter map[string]string
		total  int
	}{
		{with(map[string]string{"env": "test"}), 1},
		{with(map[string]string{"env": "prod"}), 1},
		{with(map[string]string{"env": "Prod"}), 0},
		{with(map[string]string{"team": "a"}), 0},
		{want, 1},
		{mark, 2},
	} {
		if page, err := s.Sessions(ctx, agentbay.SessionQuery{Labels: tc.filter}); err != nil || page.Total != tc.total {
			t.Errorf("labels %v find %+v, %v; want %d", tc.filter, page, err, tc.total)
		}
	}
	if err := s.SetLabels(ctx, info.ID, many(101)); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("SetLabels with 101: %v, want Invalid", err)
	}
	if page, err := s.Sessions(ctx, agentbay.SessionQuery{Labels: want}); err != nil || page.Total != 1 {
		t.Errorf("after refused labels the old ones find %+v, %v", page, err)
	}
}

func ownFiles(t *testing.T, s, _ agentbay.Service) {
	one, two := create(t, s, agentbay.SessionSpec{}), create(t, s, agentbay.SessionSpec{})
	const path, text = "/tmp/servicetest", "line\n\"quoted\" 雪 \\ </script>\n"
	if r := call(t, s, one.ID, mustCall(tool.WriteFile, tool.WriteFileIn{Path: path, Content: text})); r.Failed {
		t.Fatalf("write_file: %s", r.Text)
	}
	read := mustCall(tool.ReadFile, tool.ReadFileIn{Path: path})
	if r := call(t, s, one.ID, read); r.Failed || r.Text != text {
		t.Errorf("read_file: %+v, want %q", r, text)
	}
	if r := call(t, s, two.ID, read); !r.Failed {
		t.Errorf("another session read %q", r.Text)
	}
}

func toolFailure(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	r := call(t, s, info.ID, mustCall(tool.RunShell, tool.ShellIn{Command: "exit 3"}))
	var out tool.ShellOut
	if err := json.Unmarshal([]byte(r.Text), &out); err != nil || !r.Failed || out.ExitCode != 3 {
		t.Errorf("exit 3: %+v, %v", r, err)
	}
}

func unknownTool(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	for _, name := range []string{"no_such_tool", "../call/shell"} {
		r := call(t, s, info.ID, tool.Call{Name: name})
		if !r.Failed || !strings.Contains(r.Text, "tool not found: "+name) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func imageTools(t *testing.T, s, _ agentbay.Service) {
	for _, name := range []string{"", "code_latest"} {
		tools, err := s.Tools(t.Context(), name)
		if err != nil {
			t.Fatalf("Tools(%q): %v", name, err)
		}
		names := map[string]bool{}
		for _, x := range tools {
			names[x.Name] = len(x.Input) > 0 && x.Summary != ""
		}
		for _, want := range []string{"shell", "read_file", "get_metrics"} {
			if !names[want] {
				t.Errorf("Tools(%q) has no whole %s", name, want)
			}
		}
	}
	if _, err := s.Tools(t.Context(), "no_such_image"); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Tools of no image: %v, want Invalid", err)
	}
}

func stream(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{Image: "code_latest"})
	var out strings.Builder
	var last string
	err := s.StreamTool(t.Context(), info.ID, runCode("print(1)\nprint(2)\n"), func(event []byte) error {
		var e tool.CodeEvent
		err := json.Unmarshal(event, &e)
		out.WriteString(e.Chunk)
		last = e.Type
		return err
	})
	if err != nil || out.Len() == 0 || last != "end" {
		t.Errorf("stream: %q, last event %q, %v", out.String(), last, err)
	}
}

func runCode(code string) tool.Call {
	return mustCall(tool.RunCode, tool.RunCodeIn{Code: code, Language: "python"})
}

func streamStops(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{Image: "code_latest"})
	enough, events := errors.New("enough"), 0
	err := s.StreamTool(t.Context(), info.ID, runCode("print(1)\nprint(2)\n"), func([]byte) error {
		events++
		return enough
	})
	if !errors.Is(err, enough) || events != 1 {
		t.Errorf("stream whose yield fails: %v after %d events, want %v after 1", err, events, enough)
	}
	if r := call(t, s, info.ID, mustCall(tool.RunShell, tool.ShellIn{Command: "echo on"})); r.Failed {
		t.Errorf("after a stopped stream: %+v", r)
	}
}

func callStops(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	reply, err := s.CallTool(ctx, info.ID, mustCall(tool.RunShell, tool.ShellIn{Command: "sleep 1000", TimeoutMS: 1_000_000}))
	if err == nil {
		_, err = reply.Result(1 << 20)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("call whose context is done: %v", err)
	}
	if out := shell(t, s, info.ID, "echo on"); out.Stdout != "on\n" {
		t.Errorf("after a stopped call: %+v", out)
	}
}

func keepAlive(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	if err := s.KeepAlive(t.Context(), info.ID); err != nil {
		t.Errorf("KeepAlive: %v", err)
	}
}

func concurrent(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	errs := make(chan error)
	const calls = 20
	for i := range calls {
		go func() {
			want := fmt.Sprintf("answer %d", i)
			reply, err := s.CallTool(t.Context(), info.ID, mustCall(tool.RunShell, tool.ShellIn{Command: "echo " + want, TimeoutMS: 30_000}))
			if err != nil {
				errs <- err
				return
			}
			r, err := reply.Result(1 << 20)
			if err == nil && !strings.Contains(r.Text, want+`\n`) {
				err = fmt.Errorf("call %d got %s", i, r.Text)
			}
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func metrics(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	r := call(t, s, info.ID, mustCall(tool.Metrics, tool.None{}))
	var out tool.MetricsOut
	if err := json.Unmarshal([]byte(r.Text), &out); err != nil || r.Failed {
		t.Fatalf("get_metrics: %+v, %v", r, err)
	}
	if _, err := time.Parse(time.RFC3339, out.Timestamp); err != nil {
		t.Errorf("timestamp %q: %v", out.Timestamp, err)
	}
}

// Whether a tool refuses arguments or reports that it failed is its own matter;
// that it says so, and the session lives on, is not.
func badArguments(t *testing.T, s, _ agentbay.Service) {
	info := create(t, s, agentbay.SessionSpec{})
	for _, args := range []string{`{"command":7}`, `{"command":`, `[]`, `"x"`} {
		reply, err := s.CallTool(t.Context(), info.ID, tool.Call{Name: "shell", Args: json.RawMessage(args)})
		if err != nil {
			if !errors.Is(err, agentbay.Invalid) {
				t.Errorf("shell with %s: %v, want Invalid", args, err)
			}
			continue
		}
		if r, err := reply.Result(1 << 20); err != nil || !r.Failed {
			t.Errorf("shell with %s: %+v, %v", args, r, err)
		}
	}
	if out := shell(t, s, info.ID, "echo on"); out.Stdout != "on\n" {
		t.Errorf("after bad arguments: %+v", out)
	}
}

// create makes a session and deletes it at the end of the test.
func create(t *testing.T, s agentbay.Service, spec agentbay.SessionSpec) *agentbay.SessionInfo {
	t.Helper()
	spec.Labels = maps.Clone(spec.Labels)
	info, err := s.CreateSession(t.Context(), spec)
	if err != nil {
		t.Fatalf("CreateSession: %v", err)
	}
	t.Cleanup(func() { s.DeleteSession(context.WithoutCancel(t.Context()), info.ID) })
	return info
}

func mustCall[In, Out any](d tool.Def[In, Out], in In) tool.Call {
	c, err := d.Call(in)
	if err != nil {
		panic(err)
	}
	return c
}

func call(t *testing.T, s agentbay.Service, id agentbay.SessionID, c tool.Call) tool.Result {
	t.Helper()
	reply, err := s.CallTool(t.Context(), id, c)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	r, err := reply.Result(1 << 20)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return r
}

func shell(t *testing.T, s agentbay.Service, id agentbay.SessionID, line string) (out tool.ShellOut) {
	t.Helper()
	r := call(t, s, id, mustCall(tool.RunShell, tool.ShellIn{Command: line, TimeoutMS: 30_000}))
	if err := json.Unmarshal([]byte(r.Text), &out); err != nil {
		t.Fatalf("%s: %v in %q", line, err, r.Text)
	}
	return out
}
