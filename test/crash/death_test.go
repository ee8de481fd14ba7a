package crash

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// What a session wrote is in the next one that mounts the context, though the
// first never came to an orderly end.
func TestSessionThatDiesIsSaved(t *testing.T) {
	b := live.New(t, "--warm", "code_latest=0,linux_latest=0", "--image-runtime", "linux_latest=runc", "--memory", "256MiB")
	for image, runtime := range map[string]string{"code_latest": "runsc", "linux_latest": "runc"} {
		for name, die := range map[string]func(*testing.T, *live.Bay, *agentbay.Session){
			"killed":                func(t *testing.T, b *live.Bay, s *agentbay.Session) { killMachine(t, b, runtime, s.ID) },
			"killed, as the server": func(t *testing.T, b *live.Bay, s *agentbay.Session) { killBoth(t, b, runtime, s.ID) },
			"killed while there is no server": func(t *testing.T, b *live.Bay, s *agentbay.Session) {
				b.Kill()
				killMachine(t, b, runtime, s.ID)
				b.Start()
			},
			"out of memory": exhaust,
		} {
			t.Run(runtime+" "+name, func(t *testing.T) { savedAfter(t, b, image, die) })
		}
	}
	deleteContexts(t, b.Client)
}

// savedAfter lets a session die before anything that it wrote is saved.
func savedAfter(t *testing.T, b *live.Bay, image string, die func(*testing.T, *live.Bay, *agentbay.Session)) {
	x, err := b.Client.CreateContext(t.Context(), t.Name())
	if err != nil {
		t.Fatal(err)
	}
	spec := agentbay.SessionSpec{Image: image, Contexts: []agentbay.ContextMount{{Context: x.ID, Path: "/data", Policy: agentbay.DefaultSyncPolicy}}}
	first, err := b.Client.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	// Each file has a checksum beside it, and what is written last is not the
	// least: nothing may be lost with the machine's own memory.
	line := "mkdir /data/dir && cd /data/dir && head -c 3000000 /dev/urandom > large && echo small > small && ln -s small link && sha256sum large small > sums"
	if out, err := first.Command(line).CombinedOutput(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	die(t, b, first)
	second, err := b.Client.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	out, err := second.Command("cd /data/dir && sha256sum -c sums && cat link").CombinedOutput(t.Context())
	if want := "large: OK\nsmall: OK\nsmall\n"; err != nil || string(out) != want {
		t.Errorf("the next session has %q, %v; want %q", out, err, want)
	}
	for _, s := range []*agentbay.Session{first, second} {
		if err := s.Delete(t.Context()); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
}

// killMachine kills the process that a session is to the host.
func killMachine(t *testing.T, b *live.Bay, runtime string, id agentbay.SessionID) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Data, "machines", runtime, "m", string(id), "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the machine of %s: %v", id, err)
	}
}

// killBoth kills a machine, and the server before it can do much about it.
func killBoth(t *testing.T, b *live.Bay, runtime string, id agentbay.SessionID) {
	t.Helper()
	killMachine(t, b, runtime, id)
	b.Kill()
	b.Start()
}

// exhaust has a session use more memory than it may, and returns when it has
// ended, or else was deleted: in a container, it may be one process that is
// killed.
func exhaust(t *testing.T, b *live.Bay, s *agentbay.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Command("head -c 1G /dev/zero | tail").Run(ctx); err == nil {
		t.Error("a session of 256 MiB had 1 GiB in memory")
	}
	if err := b.Client.DeleteSession(t.Context(), s.ID); err != nil && !errors.Is(err, agentbay.NotFound) {
		t.Error(err)
	}
}

// deleteContexts deletes all contexts.
func deleteContexts(t *testing.T, client *agentbay.Client) {
	t.Helper()
	page, err := client.Contexts(t.Context(), agentbay.ContextQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page.Contexts {
		if err := client.DeleteContext(t.Context(), x.ID); err != nil {
			t.Errorf("delete %s: %v", x.ID, err)
		}
	}
}
