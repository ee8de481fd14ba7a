// Package live runs a real bay in a test: the built binary in a process of its
// own, real sessions, everything on this host. It is for tests of what only the
// whole can promise, such as surviving kill -9.
//
// AGENTBAY_TEST_BIN names the directory of the binaries, AGENTBAY_TEST_IMAGES
// the image store; scripts/test sets both. Without them, or without root, a
// test is skipped and says what it lacks.
package live

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

// A Bay is a server process and what a client needs to reach it.
type Bay struct {
	Client *agentbay.Client
	Data   string // its data directory

	t      testing.TB
	bin    string
	args   []string
	listen string // the address of the first start, kept by every later one
	key    string
	server *exec.Cmd
	out    *os.File
}

// New starts a bay with the given further arguments of serve. When the test
// ends, every session is deleted, the server stopped, and what is left on the
// host is an error of the test.
func New(t testing.TB, args ...string) *Bay {
	t.Helper()
	return NewIn(t, t.TempDir(), args...)
}

// NewIn is New with a data directory.
func NewIn(t testing.TB, data string, args ...string) *Bay {
	t.Helper()
	bin, images := os.Getenv("AGENTBAY_TEST_BIN"), os.Getenv("AGENTBAY_TEST_IMAGES")
	switch {
	case bin == "" || images == "":
		t.Skip("lacks AGENTBAY_TEST_BIN and AGENTBAY_TEST_IMAGES: run scripts/test")
	case os.Getuid() != 0:
		t.Skip("lacks root: sessions are made of namespaces and mounts")
	}
	b := &Bay{t: t, bin: bin, Data: data, listen: "127.0.0.1:0"}
	b.args = append([]string{"--images", images}, args...)
	b.key = b.makeKey()
	b.Start()
	t.Cleanup(b.finish)
	return b
}

// makeKey makes an API key for the bay.
func (b *Bay) makeKey() string {
	b.t.Helper()
	out, err := exec.Command(filepath.Join(b.bin, "agentbay"), "apikey", "create", "test", "--data", b.Data, "-o", "json").Output()
	if err != nil {
		b.t.Fatalf("apikey create: %v", err)
	}
	var made struct{ Key string }
	if err := json.Unmarshal(out, &made); err != nil || made.Key == "" {
		b.t.Fatalf("apikey create printed %q", out)
	}
	return made.Key
}

// Start starts the server and returns when it listens.
func (b *Bay) Start() {
	b.t.Helper()
	args := append([]string{"serve", "--data", b.Data, "--listen", b.listen}, b.args...)
	b.server = exec.Command(filepath.Join(b.bin, "agentbay"), args...)
	b.server.Stderr = os.Stderr
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.server.Stdout, b.out = w, r
	err = b.server.Start()
	w.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.listen = b.address()
	b.Client, err = agentbay.NewClient(agentbay.WithKey(b.key), agentbay.WithEndpoint("http://"+b.listen))
	if err != nil {
		b.t.Fatal(err)
	}
}

// address waits for the line with which a server says that it listens.
func (b *Bay) address() string {
	b.t.Helper()
	lines := bufio.NewScanner(b.out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "bay at "); ok {
			_, host, _ := strings.Cut(url, "://")
			return strings.TrimSuffix(host, "/")
		}
	}
	b.t.Fatalf("serve ended before it listened: %v", b.server.Wait())
	return ""
}

// Kill ends the server as kill -9 does.
func (b *Bay) Kill() { b.end(syscall.SIGKILL) }

// Stop ends the server as an operator does.
func (b *Bay) Stop() { b.end(syscall.SIGTERM) }

func (b *Bay) end(sig syscall.Signal) {
	if b.server == nil {
		return
	}
	b.server.Process.Signal(sig)
	b.server.Wait()
	b.out.Close()
	b.server = nil
}

// finish deletes every session and stops the server.
func (b *Bay) finish() {
	if b.server == nil {
		b.Start()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, s := range b.Sessions(ctx) {
		if session, err := b.Client.Open(ctx, s.ID); err == nil {
			session.Delete(ctx)
		}
	}
	b.Stop()
}

// Sessions lists every session that has not ended.
func (b *Bay) Sessions(ctx context.Context) []agentbay.SessionInfo {
	b.t.Helper()
	page, err := b.Client.Sessions(ctx, agentbay.SessionQuery{Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Sessions
}

// PID is the server's process.
func (b *Bay) PID() int { return b.server.Process.Pid }
