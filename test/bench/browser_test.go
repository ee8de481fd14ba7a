package bench

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/test/live"
	"github.com/agentbay/agentbay/tool"
)

// ownBrowser prints how many microseconds Chromium takes to answer by itself, with
// a new profile, in a running session.
const ownBrowser = `cd /tmp; rm -rf p said; mkfifo said; exec 9<>said; a=$(date +%s%N)
chromium --remote-debugging-port=9333 --user-data-dir=/tmp/p --no-first-run >/dev/null 2>&9 & browser=$!
grep -m1 -q 'DevTools listening' <&9; curl -s 127.0.0.1:9333/json/version >/dev/null; b=$(date +%s%N)
kill -9 $browser; wait $browser 2>/dev/null; pkill -9 chromium; echo $(( (b-a)/1000 ))`

// roundTrips prints the median, in microseconds, of round trips to DevTools from
// within the session: what the same costs without the way from outside.
const roundTrips = `import json, time, urllib.request, socket, os, base64, struct
from urllib.parse import urlparse
url = urlparse(json.load(urllib.request.urlopen("http://127.0.0.1:9222/json/version"))["webSocketDebuggerUrl"])
s = socket.create_connection(("127.0.0.1", 9222)); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.sendall(f"GET {url.path} HTTP/1.1\r\nHost: 127.0.0.1:9222\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode())
while b"\r\n\r\n" not in s.recv(4096): pass
times = []
for i in range(300):
    m = json.dumps({"id": i + 1, "method": "Browser.getVersion"}).encode()
    a = time.perf_counter(); s.sendall(b"\x81" + bytes([0x80 | len(m)]) + bytes(4) + m); s.recv(65536)
    times.append(time.perf_counter() - a)
print(int(sorted(times)[150] * 1e6))`

// From a session to a browser that answers over its link, beside what Chromium
// takes by itself, and a round trip over the link beside one within the session.
func BenchmarkBrowser(b *testing.B) {
	for _, tier := range tiers {
		on := live.New(b, "--runtime", tier, "--warm", "linux_latest=0,code_latest=0")
		s, err := on.Client.Create(b.Context(), agentbay.SessionSpec{Image: "browser_latest"})
		if err != nil {
			b.Fatal(err)
		}
		micros := func(line string) time.Duration {
			out, err := s.Command(line).Output(b.Context())
			if err != nil {
				b.Fatalf("%s: %v", out, err)
			}
			us, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err != nil {
				b.Fatal(err)
			}
			return time.Duration(us) * time.Microsecond
		}
		b.Run("own/"+tier, func(b *testing.B) {
			var t times
			for b.Loop() {
				t = append(t, micros(ownBrowser))
			}
			t.report(b)
		})
		b.Run("open/"+tier, func(b *testing.B) {
			var t times
			for b.Loop() {
				run(b, s, "rm -rf /tmp/agentbay_browser")
				t.measure(func() {
					if err := s.Browser().Open(b.Context(), tool.BrowserIn{}); err != nil {
						b.Fatal(err)
					}
					ask(b, devTools(b, s))
				})
				if err := s.Browser().Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			t.report(b)
		})
		b.Run("roundtrip/"+tier, func(b *testing.B) {
			browser := devTools(b, s)
			var t times
			for b.Loop() {
				t.measure(func() { ask(b, browser) })
			}
			t.report(b)
			if err := s.FS(b.Context()).WriteFile("tmp/trips.py", []byte(roundTrips)); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(ms(micros("python3 /tmp/trips.py")), "inside-ms")
		})
	}
}

// devTools connects to the DevTools of a session's browser.
func devTools(b *testing.B, s *agentbay.Session) devtools.Session {
	b.Helper()
	link, err := s.Browser().Link(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	conn, err := devtools.Dial(b.Context(), link)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	return conn.Browser()
}

// ask waits for one answer.
func ask(b *testing.B, browser devtools.Session) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := browser.Call(ctx, "Browser.getVersion", nil, nil); err != nil {
		b.Fatal(err)
	}
}
