package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// place is where sessions mount the context.
const place = "/tmp/data"

// A member is a session of a bay, which may mount a context.
type member struct {
	*agentbay.Session
	bay *live.Bay
}

func join(b *testing.B, on *live.Bay, mounts ...agentbay.ContextMount) member {
	b.Helper()
	s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "code_latest", IdleTimeout: time.Hour, Contexts: mounts})
	must(b, err)
	return member{s, on}
}

// mountOf is a new context, to be mounted.
func mountOf(b *testing.B, on *live.Bay, name string) agentbay.ContextMount {
	b.Helper()
	c, err := on.Client.ContextNamed(b.Context(), name, true)
	must(b, err)
	return agentbay.ContextMount{Context: c.ID, Path: place, Policy: agentbay.DefaultSyncPolicy}
}

// writer writes each nth file of a shape, as its users would.
const writer = `
import os, sys
first, step, files, size = map(int, sys.argv[1:])
for i in range(first, files, step):
    os.makedirs(f"` + place + `/{i // 100}", exist_ok=True)
    with open(f"` + place + `/{i // 100}/{i}", "wb") as f:
        left = size
        while left:
            left -= f.write(os.urandom(min(left, 1 << 20)))
`

func (m member) write(b *testing.B, s shape, first, step int) {
	b.Helper()
	program, err := m.FS(b.Context()).Create("tmp/writer.py")
	must(b, err)
	_, err = program.Write([]byte(writer))
	must(b, err)
	must(b, program.Close())
	run(b, m.Session, fmt.Sprintf("python3 /tmp/writer.py %d %d %d %d", first, step, s.files, s.size))
}

// sync saves what the session wrote. It asks often, to be told at once when
// that is done.
func (m member) sync(b *testing.B) {
	b.Helper()
	must(b, m.bay.Client.Sync(b.Context(), agentbay.SyncRequest{Session: m.ID, Mode: agentbay.Upload}))
	for ; ; time.Sleep(5 * time.Millisecond) {
		tasks, err := m.bay.Client.Syncs(b.Context(), agentbay.SyncQuery{Session: m.ID, Mode: agentbay.Upload})
		must(b, err)
		if len(tasks) > 0 && tasks[0].State == agentbay.SyncFailed {
			b.Fatal(tasks[0].Error)
		}
		if len(tasks) > 0 && tasks[0].State.Ended() {
			return
		}
	}
}

// mount mounts a context, and reads one byte of it.
func (m member) mount(b *testing.B, r *results, name string, c agentbay.ContextMount) {
	b.Helper()
	one(b, m.Session) // its interpreter no longer starts beside it
	r.measure(name+"-to-first-byte", func() {
		r.measure(name, func() { must(b, m.MountContexts(b.Context(), c)) })
		m.readFirst(b)
	})
}

func (m member) readFirst(b *testing.B) { run(b, m.Session, "head -c 1 "+place+"/0/0") }

func (m member) leave(b *testing.B) {
	b.Helper()
	must(b, m.Delete(b.Context()))
}

// Trees that a session writes are saved, and other sessions are shown them: at
// once, while the host still checks out what was saved, and later.
func BenchmarkContextSession(b *testing.B) {
	for _, tier := range tiers {
		for _, s := range shapes() {
			b.Run(s.name+"/"+tier, func(b *testing.B) {
				on := bay(b, tier)
				var r results
				for turn := range *rounds {
					sessionRound(b, on, s, turn, &r)
				}
				r.report(b)
				reportPeak(b, on)
			})
		}
	}
}

func sessionRound(b *testing.B, on *live.Bay, s shape, turn int, r *results) {
	c := mountOf(b, on, fmt.Sprint("bench ", turn))
	defer on.Client.DeleteContext(b.Context(), c.Context)
	first, second, third := join(b, on, c), join(b, on), join(b, on)
	defer func() {
		for _, m := range []member{first, second} {
			m.leave(b)
		}
	}()
	save := func(name string) {
		settle(b, on.Data)
		r.measure(name, func() { first.sync(b) })
	}
	first.write(b, s, 0, 1)
	save("save-first")
	save("save-unchanged")
	second.mount(b, r, "mount-at-once", c)
	first.write(b, s, 1, 100)
	save("save-1%")
	third.mount(b, r, "mount-after-1%", c)
	for range 5 {
		m := join(b, on)
		m.mount(b, r, "mount", c)
		m.leave(b)
	}
	third.write(b, s, 2, 100)
	var next member
	r.measure("delete-and-create-again", func() {
		third.leave(b)
		next = join(b, on, c)
		next.readFirst(b)
	})
	next.leave(b)
}

// reportPeak tells the most memory that the server has had.
func reportPeak(b *testing.B, on *live.Bay) {
	b.Run("server", func(b *testing.B) {
		b.ReportMetric(float64(status(b, on.PID(), "VmHWM:"))/(1<<20), "peak-MB")
	})
}

// Contexts that are larger than most: what they cost, and that what comes back
// is what was saved.
func BenchmarkContextLimits(b *testing.B) {
	for _, tier := range tiers {
		for _, s := range []shape{
			{"200000x1KB", max(int(200_000**scale), 1), 1 << 10},
			{"1x5GB", 1, int64(5 << 30 * *scale)},
		} {
			b.Run(s.name+"/"+tier, func(b *testing.B) {
				on := bay(b, tier)
				var r results
				largeRound(b, on, s, &r)
				r.report(b)
				reportPeak(b, on)
			})
		}
	}
}

func largeRound(b *testing.B, on *live.Bay, s shape, r *results) {
	c := mountOf(b, on, "large")
	first := join(b, on, c)
	first.write(b, s, 0, 1)
	was := first.sum(b)
	r.measure("save-first", func() { first.sync(b) })
	r.measure("save-unchanged", func() { first.sync(b) })
	first.leave(b)
	second := join(b, on)
	second.mount(b, r, "mount-at-once", c)
	if is := second.sum(b); is != was {
		b.Errorf("%s came back as %s", was, is)
	}
	second.leave(b)
	third := join(b, on)
	third.mount(b, r, "mount", c)
	third.leave(b)
}

// sum sums up all files, and counts them.
func (m member) sum(b *testing.B) string {
	b.Helper()
	out, err := m.Command("cd " + place + " && find . -type f -print0 | sort -z | tee >(tr -cd '\\0' | wc -c >&2) | xargs -0 sha256sum | sha256sum").CombinedOutput(b.Context())
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}
