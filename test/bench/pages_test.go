package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
	"github.com/agentbay/agentbay/tool"
)

//go:embed pages.py
var pagesScript []byte

// playwright is a Python that has Playwright.
func playwright(b *testing.B) string {
	b.Helper()
	python := os.Getenv("AGENTBAY_BENCH_PLAYWRIGHT")
	if python == "" {
		b.Skip("lacks AGENTBAY_BENCH_PLAYWRIGHT, a Python that has Playwright; scripts/bench sets it")
	}
	return python
}

// awaitPort waits until something listens on a port of the host.
func awaitPort(b *testing.B, address string) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
	}
	b.Fatalf("nothing listens at %s", address)
}

// background runs a program of the host until the benchmark ends.
func background(b *testing.B, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		b.Skipf("lacks %s; scripts/setup --test installs it", name)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// Twenty contexts of five pages each, one context after the other, with Playwright
// over the link of a session, beside the same with a Chromium that Playwright
// starts on the host, on a screen of the same size. The site is where the browser is.
func BenchmarkPages(b *testing.B) {
	python := playwright(b)
	script := filepath.Join(b.TempDir(), "pages.py")
	if err := os.WriteFile(script, pagesScript, 0o600); err != nil {
		b.Fatal(err)
	}
	measure := func(b *testing.B, link, address string) {
		sum := map[string]float64{}
		n := 0.0
		for b.Loop() {
			out, err := exec.Command(python, script, link, address).Output()
			if err != nil {
				b.Fatalf("%s: %v", out, err)
			}
			var got map[string]float64
			if err := json.Unmarshal(out, &got); err != nil {
				b.Fatal(err)
			}
			for name, v := range got {
				sum[name] += v
			}
			n++
		}
		for name, v := range sum {
			b.ReportMetric(v/n, name)
		}
	}
	b.Run("host", func(b *testing.B) {
		background(b, "Xvnc", ":97", "-geometry", "1920x1080", "-depth", "24", "-rfbport", "5997", "-localhost", "-SecurityTypes", "None")
		background(b, python, script, "serve", "8097")
		awaitPort(b, "127.0.0.1:8097")
		awaitPort(b, "127.0.0.1:5997")
		b.Setenv("DISPLAY", ":97")
		measure(b, "launch", "http://127.0.0.1:8097/")
	})
	for _, tier := range []string{"runc", "runsc"} {
		for _, recorded := range []bool{false, true} {
			name := tier
			if recorded {
				name += "-replay"
			}
			b.Run(name, func(b *testing.B) {
				on := live.New(b, "--runtime", tier, "--warm", "linux_latest=0,code_latest=0")
				s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "browser_latest", Replay: &recorded})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.FS(b.Context()).WriteFile("tmp/pages.py", pagesScript); err != nil {
					b.Fatal(err)
				}
				run(b, s, "nohup python3 /tmp/pages.py serve 8097 >/tmp/site.log 2>&1 & for i in $(seq 100); do curl -s http://127.0.0.1:8097/ >/dev/null && break; sleep 0.1; done")
				link, err := s.Browser().Link(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				measure(b, link, "http://127.0.0.1:8097/")
			})
		}
	}
}

// BenchmarkBrowserMemory reports what a session holds idle, with a browser that
// shows nothing, and with one page.
func BenchmarkBrowserMemory(b *testing.B) {
	for _, tier := range tiers {
		b.Run(tier, func(b *testing.B) {
			on := live.New(b, "--runtime", tier, "--warm", "linux_latest=0,code_latest=0")
			for b.Loop() {
				s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "browser_latest"})
				if err != nil {
					b.Fatal(err)
				}
				report := func(name string) {
					time.Sleep(5 * time.Second) // until it is quiet
					m, err := s.Metrics(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(m.MemUsed)/(1<<20), name+"-MB")
				}
				report("idle")
				if err := s.Browser().Open(b.Context(), tool.BrowserIn{}); err != nil {
					b.Fatal(err)
				}
				report("browser")
				page := fmt.Sprintf("data:text/html,<title>x</title>%s", strings.Repeat("<p>ware</p>", 200))
				if _, err := s.Browser().Navigate(b.Context(), page); err != nil {
					b.Fatal(err)
				}
				report("page")
				if err := s.Delete(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
