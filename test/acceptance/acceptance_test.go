// Package acceptance uses a running bay as a user of the Go SDK does. The
// environment says which: AGENTBAY_ENDPOINT and AGENTBAY_API_KEY, as printed by
// `agentbay env`. Without them the tests are skipped.
package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay/servicetest"
	"github.com/agentbay/agentbay/tool"
)

// client returns a client of the bay that the environment names.
func client(t *testing.T) *agentbay.Client {
	t.Helper()
	if os.Getenv("AGENTBAY_ENDPOINT") == "" || os.Getenv("AGENTBAY_API_KEY") == "" {
		t.Skip("lacks a running bay: AGENTBAY_ENDPOINT and AGENTBAY_API_KEY are not set; scripts/test sets them")
	}
	c, err := agentbay.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// session makes a session that ends with the test.
func session(t *testing.T, image string) *agentbay.Session {
	t.Helper()
	s, err := client(t).Create(t.Context(), agentbay.SessionSpec{Image: image})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Delete(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("delete: %v", err)
		}
	})
	return s
}

// The client in front of a real bay is the same service as the bay itself.
func TestClientIsService(t *testing.T) {
	mine := client(t)
	second := os.Getenv("AGENTBAY_SECOND_API_KEY")
	if second == "" {
		t.Skip("lacks AGENTBAY_SECOND_API_KEY, the key of somebody else; scripts/test sets it")
	}
	other, err := agentbay.NewClient(agentbay.WithKey(second))
	if err != nil {
		t.Fatal(err)
	}
	servicetest.Run(t, func(t *testing.T) (agentbay.Service, agentbay.Service) { return mine, other })
}

func TestCommands(t *testing.T) {
	s := session(t, "linux_latest")
	for name, test := range map[string]struct {
		cmd  agentbay.Cmd
		out  string
		code int
	}{
		"pipes and functions": {cmd: agentbay.Cmd{Line: "f() { tr a-z A-Z; }\necho hello | f"}, out: "HELLO\n"},
		"directory":           {cmd: agentbay.Cmd{Line: "mkdir -p '/tmp/a b'; cd '/tmp/a b'; pwd"}, out: "/tmp/a b\n"},
		"user":                {cmd: agentbay.Cmd{Line: "whoami; pwd"}, out: "wuying\n/home/wuying\n"},
		"environment":         {cmd: agentbay.Cmd{Line: `printf %s "$V"`, Env: []string{`V=a"b'c;$d` + "\n"}}, out: "a\"b'c;$d\n"},
		"NUL":                 {cmd: agentbay.Cmd{Line: `printf 'a\0b\001'`}, out: "a\x00b\x01"},
		"exit status":         {cmd: agentbay.Cmd{Line: "echo out; exit 42"}, out: "out\n", code: 42},
		"not found":           {cmd: agentbay.Cmd{Line: "no-such-command"}, code: 127},
		"signal":              {cmd: agentbay.Cmd{Line: "kill -9 $$"}, code: 137},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := s.Command(test.cmd.Line)
			cmd.Env = test.cmd.Env
			out, err := cmd.Output(t.Context())
			var exit *agentbay.ExitError
			if errors.As(err, &exit) {
				if exit.Code != test.code {
					t.Errorf("exit status %d, want %d", exit.Code, test.code)
				}
			} else if err != nil || test.code != 0 {
				t.Errorf("error %v, want exit status %d", err, test.code)
			}
			if string(out) != test.out {
				t.Errorf("output %q, want %q", out, test.out)
			}
		})
	}
}

// A command past its time is killed with all it started, and the session goes on.
func TestCommandTimeout(t *testing.T) {
	s := session(t, "code_latest")
	cmd := s.Command("sleep 4321 & sleep 4321")
	cmd.Timeout = 500 * time.Millisecond
	if err := cmd.Run(t.Context()); !errors.Is(err, agentbay.Exhausted) || !strings.Contains(err.Error(), "[timeout]") {
		t.Errorf("timed-out command: %v, want Exhausted with [timeout]", err)
	}
	out, err := s.Command("pgrep -f 'sleep 4321' | wc -l").Output(t.Context())
	if err != nil || strings.TrimSpace(string(out)) != "1" { // pgrep's own bash has the words in its command line
		if strings.TrimSpace(string(out)) != "0" {
			t.Errorf("processes left by the command: %q, %v", out, err)
		}
	}
}

// A background process outlives the call that started it.
func TestBackgroundProcess(t *testing.T) {
	s := session(t, "code_latest")
	if err := s.Command("nohup python3 -m http.server 8123 --directory /tmp >/tmp/log 2>&1 &").Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := s.Command("for i in $(seq 50); do curl -sf localhost:8123/log >/dev/null && echo up && exit; sleep 0.1; done").Output(t.Context())
	if err != nil || string(out) != "up\n" {
		t.Errorf("server started in the background: %q, %v", out, err)
	}
}

// Calls of one session run side by side.
func TestConcurrentCommands(t *testing.T) {
	s := session(t, "code_latest")
	if err := s.Command("mkfifo /tmp/a /tmp/b").Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup // each waits for the other: one after the other they would never end
	for _, line := range []string{"echo 1 > /tmp/a; cat /tmp/b", "cat /tmp/a; echo 2 > /tmp/b"} {
		all.Go(func() {
			cmd := s.Command(line)
			cmd.Timeout = 30 * time.Second
			if err := cmd.Run(t.Context()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		})
	}
	all.Wait()
}

// Output past the bound is cut with a mark, and nothing hangs.
func TestOutputFlood(t *testing.T) {
	s := session(t, "code_latest")
	cmd := s.Command("head -c 200000000 /dev/zero | tr '\\0' x")
	cmd.Timeout = 2 * time.Minute
	out, err := cmd.Output(t.Context())
	if err != nil || len(out) < 1<<20 || len(out) > 100<<20 || !bytes.Contains(out[len(out)-200:], []byte("truncated")) {
		t.Errorf("flood: %d bytes, %v, ends in %q", len(out), err, out[max(0, len(out)-100):])
	}
}

// Files of every size come back byte for byte.
func TestFilesAreByteExact(t *testing.T) {
	s := session(t, "code_latest")
	files := s.FS(t.Context())
	for _, size := range []int{0, 1, 63 << 10, 10 << 20, 100 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			name, want := fmt.Sprintf("tmp/file-%d", size), random(size)
			w, err := files.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := files.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sum := sha256.New()
			n, err := io.Copy(sum, f)
			if err != nil || int(n) != size || !bytes.Equal(sum.Sum(nil), sum256(want)) {
				t.Errorf("read back %d bytes of %d, %v; the digest differs or the size", n, size, err)
			}
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func sum256(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// A session's files are an fs.FS.
func TestFilesAreAnFS(t *testing.T) {
	s := session(t, "code_latest")
	files := s.FS(t.Context())
	for _, name := range []string{"a.txt", "dir/b.txt", "dir/sub/c d.txt", "dir/ümläut.txt"} {
		if err := files.WriteFile("tmp/tree/"+name, []byte("content of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := fs.Sub(files, "tmp/tree")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "a.txt", "dir/b.txt", "dir/sub/c d.txt", "dir/ümläut.txt"); err != nil {
		t.Error(err)
	}
}

// Text of many-byte characters survives being read in windows.
func TestTextWindowsMeet(t *testing.T) {
	s := session(t, "code_latest")
	want := strings.Repeat("aé汉🚢", 10_000)
	if err := s.FS(t.Context()).WriteFile("tmp/text", []byte(want)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for offset := 0; offset < len(want); offset += 997 {
		r, err := s.Call(t.Context(), "read_file", tool.ReadFileIn{Path: "/tmp/text", Offset: int64(offset), Length: 997})
		if err != nil || r.Failed {
			t.Fatalf("window at %d: %v %s", offset, err, r.Text)
		}
		got.WriteString(r.Text)
	}
	if got.String() != want {
		t.Error("joined windows differ from the text")
	}
}

// Every change below a watched directory is seen once.
func TestWatch(t *testing.T) {
	s := session(t, "linux_latest")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	files := s.FS(ctx)
	if err := files.MkdirAll("tmp/watched"); err != nil {
		t.Fatal(err)
	}
	events, err := s.Watch(ctx, "/tmp/watched")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "a", "b"} {
		if _, err := s.Call(ctx, "write_file", tool.WriteFileIn{Path: "/tmp/watched/" + name, Content: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Command("rm /tmp/watched/b").Run(ctx); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for e, err := range events {
		if err != nil {
			t.Fatalf("after %v: %v", count, err)
		}
		count[e.EventType]++
		if e.EventType == "delete" {
			break
		}
	}
	if count["create"] != 2 || count["modify"] != 3 || count["delete"] != 1 {
		t.Errorf("events %v, want 2 creates, 3 modifies, 1 delete", count)
	}
}

func TestCode(t *testing.T) {
	s := session(t, "code_latest")
	for language, test := range map[string]struct{ define, use, want, fail, name string }{
		"python":     {"x = 20", "x + 22", "42", "1/0", "ZeroDivisionError"},
		"javascript": {"const x = 20", "x + 22", "42", "throw new TypeError('no')", "TypeError"},
		"r":          {"x <- 20", "x + 22", "[1] 42", "stop('no')", "no"},
		"java":       {"int x = 20;", "x + 22", "42", "throw new IllegalStateException(\"no\");", "IllegalStateException"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if _, err := s.RunCode(t.Context(), language, test.define); err != nil {
				t.Fatal(err)
			}
			r, err := s.RunCode(t.Context(), language, test.use)
			if err != nil || strings.TrimSpace(r.Text()) != test.want {
				t.Errorf("%s after %s: %+v, %v, want %s", test.use, test.define, r, err, test.want)
			}
			_, err = s.RunCode(t.Context(), language, test.fail)
			var failed *agentbay.CodeError
			if !errors.As(err, &failed) || !strings.Contains(failed.Message, test.name) {
				t.Errorf("%s: %v, want a CodeError with %s", test.fail, err, test.name)
			}
		})
	}
}

// An endless loop is interrupted, and what was defined before is still there.
func TestCodeTimeout(t *testing.T) {
	s := session(t, "code_latest")
	for language, code := range map[string][3]string{
		"python":     {"kept = 7", "while True: pass", "kept"},
		"javascript": {"let kept = 7", "for (;;);", "kept"},
	} {
		t.Run(language, func(t *testing.T) {
			if _, err := s.RunCode(t.Context(), language, code[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := s.RunCode(t.Context(), language, code[1], agentbay.CodeTimeout(time.Second)); err == nil {
				t.Error("an endless loop ended well")
			}
			r, err := s.RunCode(t.Context(), language, code[2])
			if err != nil || r.Text() != "7" {
				t.Errorf("after the loop: %+v, %v, want 7", r, err)
			}
		})
	}
}

// Output of running code arrives while it runs.
func TestCodeStreams(t *testing.T) {
	s := session(t, "code_latest")
	var last time.Time
	var gap time.Duration
	_, err := s.RunCode(t.Context(), "python", "import time\nprint(1, flush=True)\ntime.sleep(1)\nprint(2)",
		agentbay.OnCodeEvent(func(e tool.CodeEvent) {
			if e.Type != "stdout" {
				return
			}
			if !last.IsZero() {
				gap = max(gap, time.Since(last))
			}
			last = time.Now()
		}))
	if err != nil || gap < 800*time.Millisecond {
		t.Errorf("largest gap between chunks %v, %v, want about a second", gap, err)
	}
}

func TestRichResults(t *testing.T) {
	s := session(t, "code_latest")
	r, err := s.RunCode(t.Context(), "python", `
import matplotlib.pyplot as plt, numpy, pandas, sklearn, seaborn
from IPython.display import display, HTML, Markdown, SVG, Latex, JSON
plt.plot([1, 2]); plt.show()
for d in HTML("<b>h</b>"), Markdown("# m"), SVG("<svg xmlns='http://www.w3.org/2000/svg'/>"), Latex("$x$"), JSON({"a": 1}): display(d)
pandas.DataFrame({"a": [1]})`)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range r.Results {
		for mime := range v.MIME {
			seen[mime] = true
		}
	}
	for _, mime := range []string{"image/png", "text/html", "text/markdown", "image/svg+xml", "text/latex", "application/json", "text/plain"} {
		if !seen[mime] {
			t.Errorf("no %s among %v", mime, seen)
		}
	}
}

func TestMetrics(t *testing.T) {
	m, err := session(t, "linux_latest").Metrics(t.Context())
	if err != nil || m.CPUCount <= 0 || m.MemTotal <= 0 || m.MemUsed <= 0 || m.DiskTotal <= 0 || m.CPUUsedPct < 0 || m.CPUUsedPct > 100 {
		t.Errorf("metrics %+v, %v", m, err)
	}
}

// Git needs nothing but the shell.
func TestGit(t *testing.T) {
	s := session(t, "code_latest")
	out, err := s.Command(`set -e; cd "$(mktemp -d)"; git init -q -b main .
git -c user.name=A -c user.email=a@b.c commit -q --allow-empty -m one
git log --format='%H%x00%an%x01%s' | cut -c41-`).Output(t.Context())
	if err != nil || string(out) != "\x00A\x01one\n" {
		t.Errorf("git log: %q, %v", out, err)
	}
}

// What is refused says why, and under which request ID.
func TestRefusals(t *testing.T) {
	c := client(t)
	for image, words := range map[string]string{"no_such_image": "no_such_image", "windows_latest": "windows_latest"} {
		_, err := c.Create(t.Context(), agentbay.SessionSpec{Image: image})
		var refused *agentbay.Error
		if !errors.As(err, &refused) || refused.RequestID == "" || !strings.Contains(refused.Message, words) {
			t.Errorf("create %s: %v, want a message that names it and a request ID", image, err)
		}
	}
	if _, err := c.Open(t.Context(), "session-none"); !errors.Is(err, agentbay.NotFound) {
		t.Errorf("open an unknown session: %v, want NotFound", err)
	}
	bad, err := agentbay.NewClient(agentbay.WithKey("akm-wrong"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Sessions(t.Context(), agentbay.SessionQuery{}); !errors.Is(err, agentbay.Denied) {
		t.Errorf("wrong key: %v, want Denied", err)
	}
}

// Sessions reach neither each other nor the host. (That private networks are out
// of reach too is tested with hosts of our own, in runtimetest.)
func TestIsolation(t *testing.T) {
	one, two := session(t, "code_latest"), session(t, "linux_latest")
	out, err := two.Command("hostname -I || ip -4 -o addr show scope global | awk '{print $4}' | cut -d/ -f1").Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	neighbour := strings.Fields(string(out))
	if len(neighbour) == 0 {
		t.Fatalf("the second session shows no address: %q", out)
	}
	gateway, err := one.Command("ip route | awk '/default/ {print $3}'").Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{neighbour[0] + ":47600", strings.TrimSpace(string(gateway)) + ":22"} {
		host, port, _ := strings.Cut(address, ":")
		line := fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/%s' 2>&1 && echo reached", host, port)
		cmd := one.Command(line)
		cmd.Timeout = 20 * time.Second
		if out, _ := cmd.Output(t.Context()); strings.Contains(string(out), "reached") {
			t.Errorf("a session reached %s", address)
		}
	}
}
