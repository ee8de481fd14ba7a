// Package bench measures what a bay costs, side by side with the tools a person
// would use without it, in one run on one machine. scripts/bench prints the
// table; nothing here asserts a time.
package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// tiers are the isolation tiers that are compared.
var tiers = []string{"runsc", "runc"}

// bay starts a bay that boots sessions in one tier.
func bay(b *testing.B, tier string, args ...string) *live.Bay {
	return live.New(b, append([]string{"--runtime", tier, "--warm", "code_latest=0"}, args...)...)
}

func session(b *testing.B, on *live.Bay) *agentbay.Session {
	b.Helper()
	s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "code_latest"})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func run(b *testing.B, s *agentbay.Session, line string) {
	b.Helper()
	if err := s.Command(line).Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// one runs one line of Python.
func one(b *testing.B, s *agentbay.Session) {
	b.Helper()
	if _, err := s.RunCode(b.Context(), "python", "1+1"); err != nil {
		b.Fatal(err)
	}
}

// times collects durations and reports their median and 95th percentile.
type times []time.Duration

func (t *times) measure(f func()) {
	start := time.Now()
	f()
	*t = append(*t, time.Since(start))
}

func (t times) report(b *testing.B) {
	slices.Sort(t)
	b.ReportMetric(ms(t[len(t)/2]), "p50-ms")
	b.ReportMetric(ms(t[len(t)*95/100]), "p95-ms")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// From nothing to the output of the first command.
func BenchmarkCreateToFirstCommand(b *testing.B) {
	for _, tier := range tiers {
		b.Run("bay/"+tier, func(b *testing.B) {
			on := bay(b, tier)
			var t times
			for b.Loop() {
				var s *agentbay.Session
				t.measure(func() {
					s = session(b, on)
					run(b, s, "true")
				})
				if err := s.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			t.report(b)
		})
		b.Run("raw/"+tier, func(b *testing.B) {
			raw := newRaw(b, tier)
			var t times
			for b.Loop() {
				t.measure(func() { raw.run(b, "/bin/bash", "-c", "true") })
			}
			t.report(b)
		})
	}
}

// One command in a session that is there, and whose interpreter is no longer
// starting beside it.
func BenchmarkCommand(b *testing.B) {
	for _, tier := range tiers {
		b.Run("bay/"+tier, func(b *testing.B) {
			s := session(b, bay(b, tier))
			one(b, s)
			var t times
			for b.Loop() {
				t.measure(func() { run(b, s, "true") })
			}
			t.report(b)
		})
		b.Run("raw/"+tier, func(b *testing.B) {
			raw := newRaw(b, tier)
			id := raw.start(b)
			var t times
			for b.Loop() {
				t.measure(func() { raw.exec(b, id, "/bin/bash", "-c", "true") })
			}
			t.report(b)
		})
	}
}

// One command a while after the one before, when a bash waits for it.
func BenchmarkCommandAfterPause(b *testing.B) {
	const pause = 200 * time.Millisecond
	for _, tier := range tiers {
		b.Run("bay/"+tier, func(b *testing.B) {
			s := session(b, bay(b, tier))
			one(b, s)
			run(b, s, "true")
			var t times
			for b.Loop() {
				time.Sleep(pause)
				t.measure(func() { run(b, s, "true") })
			}
			t.report(b)
		})
	}
}

// The first run of code after a session was made, and the ones after it.
func BenchmarkRunCode(b *testing.B) {
	for _, tier := range tiers {
		b.Run("first/bay/"+tier, func(b *testing.B) {
			on := bay(b, tier)
			var t times
			for b.Loop() {
				s := session(b, on)
				t.measure(func() { one(b, s) })
				if err := s.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			t.report(b)
		})
		b.Run("later/bay/"+tier, func(b *testing.B) {
			s := session(b, bay(b, tier))
			one(b, s)
			var t times
			for b.Loop() {
				t.measure(func() { one(b, s) })
			}
			t.report(b)
		})
	}
	b.Run("first/jupyter/host", func(b *testing.B) {
		var t times
		for b.Loop() {
			k := newJupyter(b)
			t.measure(func() { k.start(b); k.one(b) })
			k.stop()
		}
		t.report(b)
	})
	b.Run("later/jupyter/host", func(b *testing.B) {
		k := newJupyter(b)
		defer k.stop()
		k.start(b)
		k.one(b)
		var t times
		for b.Loop() {
			t.measure(func() { k.one(b) })
		}
		t.report(b)
	})
}

// A file of 64 MB into a session and out of it.
func BenchmarkFile64MB(b *testing.B) {
	const size = 64 << 20
	content := make([]byte, size)
	for _, tier := range tiers {
		s := session(b, bay(b, tier))
		files := s.FS(b.Context())
		b.Run("up/bay/"+tier, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				w, err := files.Create("tmp/big")
				if err == nil {
					_, err = w.Write(content)
				}
				if err := errors.Join(err, w.Close()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("down/bay/"+tier, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				f, err := files.Open("tmp/big")
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, f); err != nil || n != size {
					b.Fatal(n, err)
				}
				f.Close()
			}
		})
		b.Run("up/cp/"+tier, func(b *testing.B) {
			b.SetBytes(size)
			raw := newRaw(b, tier)
			if err := os.WriteFile(filepath.Join(raw.shared, "big"), content, 0o644); err != nil {
				b.Fatal(err)
			}
			id := raw.start(b)
			for b.Loop() {
				raw.exec(b, id, "/bin/cp", "/shared/big", "/tmp/big")
			}
		})
		b.Run("down/cp/"+tier, func(b *testing.B) {
			b.SetBytes(size)
			raw := newRaw(b, tier)
			if err := os.WriteFile(filepath.Join(raw.shared, "big"), content, 0o644); err != nil {
				b.Fatal(err)
			}
			id := raw.start(b)
			raw.exec(b, id, "/bin/cp", "/shared/big", "/tmp/big")
			for b.Loop() {
				raw.exec(b, id, "/bin/cp", "/tmp/big", "/shared/out")
			}
		})
	}
}

// Many sessions made and deleted by four clients, 500 in the 20 rounds of
// scripts/bench; nothing may be left.
func BenchmarkCreateDelete(b *testing.B) {
	const round = 25
	for _, tier := range tiers {
		b.Run("bay/"+tier, func(b *testing.B) {
			on := bay(b, tier, "--max-sessions", "100")
			for b.Loop() {
				churn(b, on, round, 4)
			}
			b.ReportMetric(round*float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
			b.ReportMetric(float64(len(on.Sessions(b.Context()))), "sessions-left")
		})
	}
}

func churn(b *testing.B, on *live.Bay, sessions, clients int) {
	turns := make(chan struct{}, sessions)
	for range sessions {
		turns <- struct{}{}
	}
	close(turns)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range turns {
				s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "code_latest"})
				if err == nil {
					err = s.Delete(b.Context())
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// What a server and a session hold while nothing happens.
func BenchmarkIdleMemory(b *testing.B) {
	for _, tier := range tiers {
		b.Run("bay/"+tier, func(b *testing.B) {
			on := bay(b, tier)
			s := session(b, on)
			for b.Loop() {
				b.ReportMetric(float64(rss(b, on.PID()))/(1<<20), "server-MB")
				m, err := s.Metrics(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(m.MemUsed)/(1<<20), "session-MB")
			}
		})
	}
}

// rss is what a process holds in memory, in bytes.
func rss(b *testing.B, pid int) int64 { return status(b, pid, "VmRSS:") }

// status is a size that the kernel tells of a process, in bytes.
func status(b *testing.B, pid int, name string) int64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}
