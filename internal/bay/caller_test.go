package bay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/bay/baytest"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/fake"
	"github.com/agentbay/agentbay/internal/store"
	"github.com/agentbay/agentbay/tool"
)

func TestWrongKeyIsDenied(t *testing.T) {
	b := baytest.New(t)
	secret := b.NewKey(t, "mine")
	for _, key := range []string{"", "akm-", secret[:len(secret)-1], secret + "x", gate.NewKey(), gate.Hash(secret), strings.Repeat("x", 1<<20)} {
		if _, err := b.Key(t.Context(), key); !errors.Is(err, agentbay.Denied) {
			t.Errorf("key %.20q: %v, want Denied", key, err)
		}
	}
	if _, err := b.Key(t.Context(), secret); err != nil {
		t.Errorf("right key: %v", err)
	}
}

func TestDisabledKeyIsDeniedAtOnce(t *testing.T) {
	b := baytest.New(t)
	secret := b.NewKey(t, "mine")
	s, err := b.Key(t.Context(), secret)
	must(t, err)
	info, err := s.CreateSession(t.Context(), agentbay.SessionSpec{})
	must(t, err)
	k, err := b.Store.Key(t.Context(), "mine")
	must(t, err)
	must(t, b.Store.DisableKey(t.Context(), k.ID, true))
	if _, err := b.Key(t.Context(), secret); !errors.Is(err, agentbay.Denied) || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("disabled key: %v, want Denied", err)
	}
	if _, err := b.Token(t.Context(), info.ID, info.Token); !errors.Is(err, agentbay.Denied) {
		t.Errorf("token of a session of a disabled key: %v, want Denied", err)
	}
	must(t, b.Store.DisableKey(t.Context(), k.ID, false))
	if _, err := b.Token(t.Context(), info.ID, info.Token); err != nil {
		t.Errorf("token after the key was enabled again: %v", err)
	}
}

func TestUseOfAKeyIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		secret := b.NewKey(t, "mine")
		time.Sleep(time.Hour)
		_, err := b.Key(t.Context(), secret)
		must(t, err)
		if k, err := b.Store.Key(t.Context(), "mine"); err != nil || !k.UsedAt.Equal(time.Now()) {
			t.Errorf("last used %v, %v; want %v", k.UsedAt, err, time.Now())
		}
	})
}

func TestTokenOpensItsSessionOnly(t *testing.T) {
	b := baytest.New(t)
	mine := b.Service(t, "mine")
	one, err := mine.CreateSession(t.Context(), agentbay.SessionSpec{})
	must(t, err)
	two := create(t, mine, agentbay.SessionSpec{})
	for _, token := range []string{"", "tok-", one.Token + "x", one.Token[:10]} {
		if _, err := b.Token(t.Context(), one.ID, token); !errors.Is(err, agentbay.Denied) {
			t.Errorf("token %.10q: %v, want Denied", token, err)
		}
	}
	if _, err := b.Token(t.Context(), "session-none", one.Token); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("token of no session: %v, want NotFound", err)
	}
	s, err := b.Token(t.Context(), one.ID, one.Token)
	must(t, err)
	must(t, try(t, s, one.ID))
	if err := try(t, s, two); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("call of another session: %v, want NotFound", err)
	}
	if _, err := s.CreateSession(t.Context(), agentbay.SessionSpec{}); !errors.Is(err, agentbay.Denied) {
		t.Errorf("CreateSession with a token: %v, want Denied", err)
	}
	if _, err := s.Sessions(t.Context(), agentbay.SessionQuery{}); !errors.Is(err, agentbay.Denied) {
		t.Errorf("Sessions with a token: %v, want Denied", err)
	}
	must(t, mine.DeleteSession(t.Context(), one.ID))
	if _, err := b.Token(t.Context(), one.ID, one.Token); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("token of a deleted session: %v, want NotFound", err)
	}
}

func TestToolAnImageLacksIsAFailedReply(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{Image: "linux_latest"})
	reply, err := s.CallTool(t.Context(), id, tool.Call{Name: "run_code"})
	must(t, err)
	r, err := reply.Result(1 << 10)
	if want := "tool not found: run_code; sessions of code_latest have it"; err != nil || !r.Failed || r.Text != want {
		t.Errorf("run_code in linux_latest: %+v, %v; want %q", r, err, want)
	}
	err = s.StreamTool(t.Context(), id, tool.Call{Name: "run_code"}, nil)
	if !errors.Is(err, agentbay.Invalid) || !strings.Contains(err.Error(), "tool not found") {
		t.Errorf("stream of run_code in linux_latest: %v, want Invalid", err)
	}
	if err := s.StreamTool(t.Context(), id, shell(t, "echo"), nil); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("stream of a tool that does not stream: %v, want Invalid", err)
	}
}

func TestMachineIsWhatTheImageSays(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) {
		b.Guest = []string{"/usr/lib/guest"}
		b.Machine = runtime.Limits{CPU: 2, Memory: 1 << 30}
		b.Network.Internet = true
	})
	id := create(t, b.Service(t, "mine"), agentbay.SessionSpec{Image: "code_latest"})
	spec := b.Host.Specs()[id]
	guest := strings.Join(spec.Guest, " ")
	if want := "/usr/lib/guest --families shell,files,code --dir /workspace --warm python"; guest != want {
		t.Errorf("guest is started as %q, want %q", guest, want)
	}
	if spec.User.Name != "root" || spec.Dir != "/workspace" || spec.Limits.CPU != 2 || !spec.Network.Internet || strings.Contains(guest, spec.Token) {
		t.Errorf("machine is %+v", spec)
	}
}

func TestUnknownRuntimeIsRefusedAtStart(t *testing.T) {
	host := map[string]runtime.Runtime{"host": baytest.NewHost()}
	for name, b := range map[string]*bay.Bay{
		"of all images": {Runtimes: host, Runtime: "runq"},
		"of one image":  {Runtimes: host, ImageRuntimes: map[string]string{"code_latest": "runq"}},
		"none at all":   {},
	} {
		if err := b.Start(t.Context()); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestImageChoosesItsRuntime(t *testing.T) {
	b := baytest.New(t, func(b *baytest.Bay) {
		b.Runtimes = map[string]runtime.Runtime{"host": b.Host, "fast": fast{baytest.NewHost()}}
		b.Runtime = "host"
		b.ImageRuntimes = map[string]string{"code_latest": "fast"}
	})
	s := b.Service(t, "mine")
	for image, want := range map[string]string{"linux_latest": "none", "code_latest": "container"} {
		if info, err := s.CreateSession(t.Context(), agentbay.SessionSpec{Image: image}); err != nil || info.Isolation != want {
			t.Errorf("%s: %+v, %v; want isolation %s", image, info, err, want)
		}
	}
}

// fast is another runtime.
type fast struct{ *baytest.Host }

func (fast) Isolation() string { return "container" }

func TestMetricsAreAveragesSinceTheLastReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := baytest.New(t)
		s := b.Service(t, "mine")
		id := create(t, s, agentbay.SessionSpec{})
		read := func() (out tool.MetricsOut) {
			reply, err := s.CallTool(t.Context(), id, tool.Call{Name: "get_metrics"})
			must(t, err)
			r, err := reply.Result(1 << 10)
			must(t, errors.Join(err, json.Unmarshal([]byte(r.Text), &out)))
			return out
		}
		time.Sleep(10 * time.Second)
		u := runtime.Usage{CPU: 5 * time.Second, Cores: 2, Memory: 100, MemoryLimit: 1000, Disk: 10, DiskLimit: 20, Received: 20 << 10, Transmitted: 40 << 10}
		b.Host.SetFaults(fake.Faults{Usage: func(agentbay.SessionID) runtime.Usage { return u }})
		first := read()
		if first.CPUUsedPct != 25 || first.RxRateKByte != 2 || first.TxRateKByte != 4 || first.RxUsedKByte != 20 || first.MemTotal != 1000 || first.CPUCount != 2 {
			t.Errorf("first reading: %+v", first)
		}
		if again := read(); again.CPUUsedPct != 25 {
			t.Errorf("reading again at once: %+v", again)
		}
		time.Sleep(time.Second)
		u.CPU += 2 * time.Second
		u.Received = 0 // counted anew
		b.Host.SetFaults(fake.Faults{Usage: func(agentbay.SessionID) runtime.Usage { return u }})
		if last := read(); last.CPUUsedPct != 100 || last.RxRateKByte != 0 || last.TxRateKByte != 0 {
			t.Errorf("last reading: %+v", last)
		}
	})
}

func TestPortOfASession(t *testing.T) {
	b := baytest.New(t)
	s := b.Service(t, "mine")
	id := create(t, s, agentbay.SessionSpec{})
	if _, err := s.DialPort(t.Context(), id, 1); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("port nobody listens on: %v, want Unavailable", err)
	}
	must(t, try(t, s, id))
}

func TestLogNamesCallsAndHoldsNoSecret(t *testing.T) {
	var log bytes.Buffer
	b := baytest.New(t, func(b *baytest.Bay) { b.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	secret := b.NewKey(t, "mine")
	s, err := b.Key(t.Context(), secret)
	must(t, err)
	ctx := gate.WithRequestID(t.Context(), "REQUEST-1")
	info, err := s.CreateSession(ctx, agentbay.SessionSpec{})
	must(t, err)
	reply, err := s.CallTool(ctx, info.ID, shell(t, "echo "+secret))
	must(t, err)
	reply.Body.Close()
	s.CallTool(ctx, "session-none", shell(t, "echo"))
	must(t, b.Shutdown(t.Context()))
	text := log.String()
	for what, bad := range map[string]string{"the key": secret[8:], "the token": info.Token[8:], "the guest's secret": b.Host.Specs()[info.ID].Token[8:]} {
		if strings.Contains(text, bad) {
			t.Errorf("the log holds %s:\n%s", what, text)
		}
	}
	for _, want := range []string{`"msg":"create session","request_id":"REQUEST-1"`, `"msg":"shell","request_id":"REQUEST-1"`, `"code":"not_found"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("env", "prod")
	f.Add("", "x")
	f.Add("a\x00b", "\xff")
	f.Add("ü\u2028", "\"'%_\\")
	b := baytest.New(f)
	s := b.Service(f, "mine")
	id := create(f, s, agentbay.SessionSpec{})
	f.Fuzz(func(t *testing.T, key, value string) {
		labels := map[string]string{key: value}
		if err := s.SetLabels(t.Context(), id, labels); err != nil {
			if !errors.Is(err, agentbay.Invalid) {
				t.Errorf("SetLabels(%q): %v", labels, err)
			}
			return
		}
		page, err := s.Sessions(t.Context(), agentbay.SessionQuery{Labels: labels})
		if err != nil || page.Total != 1 || page.Sessions[0].Labels[key] != value {
			t.Errorf("labels %q find %+v, %v", labels, page, err)
		}
	})
}

func BenchmarkCallTool(b *testing.B) {
	x := baytest.New(b)
	secret := x.NewKey(b, "mine")
	s, err := x.Key(b.Context(), secret)
	must(b, err)
	id := create(b, s, agentbay.SessionSpec{})
	call := shell(b, "echo hello")
	for b.Loop() {
		s, err := x.Key(b.Context(), secret)
		must(b, err)
		reply, err := s.CallTool(b.Context(), id, call)
		must(b, err)
		_, err = io.Copy(io.Discard, reply.Body)
		must(b, errors.Join(err, reply.Body.Close()))
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	x := baytest.New(b)
	s := x.As(store.Key{ID: "ak-1"})
	for b.Loop() {
		must(b, s.DeleteSession(b.Context(), create(b, s, agentbay.SessionSpec{})))
	}
}
