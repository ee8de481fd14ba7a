package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/test/live"
)

// smallDisk mounts a file system of some MiB for as long as the test lasts.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("lacks root: a file system is mounted")
	}
	file, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	for _, line := range [][]string{
		{"truncate", "-s", fmt.Sprintf("%dM", mib), file}, {"mkfs.ext4", "-q", "-m", "0", file}, {"mount", "-o", "loop", file, dir},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", line, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// Where contexts fill their disk, clients are told so, and everything that was
// kept before can be read. What could not be saved waits for room, and needs
// nobody to ask for it.
func TestFullDiskLosesNothing(t *testing.T) {
	blobs := filepath.Join(smallDisk(t, 64), "blobs")
	b := live.New(t, "--warm", "code_latest=0,linux_latest=0", "--image-runtime", "linux_latest=runc", "--blob-dir", blobs)
	ctx := t.Context()
	large, small := create(t, b, "large"), create(t, b, "small")
	mount := agentbay.ContextMount{Context: small, Path: "/data", Policy: agentbay.DefaultSyncPolicy}
	spec := agentbay.SessionSpec{Image: "linux_latest", Contexts: []agentbay.ContextMount{mount}}
	kept := fill(t, b.Client, large)

	// A session is neither saved when it asks, nor when it ends.
	session, err := b.Client.Create(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	text := random(6 << 20)
	if err := session.FS(ctx).WriteFile("data/result", text); err != nil {
		t.Fatal(err)
	}
	wantFull(t, "sync", session.SyncContexts(ctx, agentbay.SyncRequest{}))
	if err := b.Client.DeleteSession(ctx, session.ID); err != nil {
		t.Fatal(err)
	}
	await(t, "a try at saving", func() bool {
		info, err := session.Info(ctx)
		return err == nil && strings.Contains(info.EndReason, "not saved yet") && info.State == agentbay.Deleting
	})
	for path, want := range kept {
		wantContent(t, b.Client, large, path, want)
	}
	b.Kill()
	b.Start()
	for path, want := range kept {
		wantContent(t, b.Client, large, path, want)
	}

	if err := b.Client.DeleteContext(ctx, large); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the session", func() bool {
		info, err := session.Info(ctx)
		return err == nil && info.State.Ended() && info.EndReason == "deleted"
	})
	wantContent(t, b.Client, small, "/data/result", text)
	if err := b.Client.DeleteContext(ctx, small); err != nil {
		t.Fatal(err)
	}
	waitUntilGone(t, blobs, ".")
}

// A bay that has only as much disk as must stay free refuses files, but it starts,
// and serves what it has, and contexts can be deleted.
func TestFullHostCanBeFreed(t *testing.T) {
	dir := smallDisk(t, 256)
	b := live.NewIn(t, dir, "--warm", "code_latest=0,linux_latest=0", "--keep-free-disk", "64MiB", "--disk", "64MiB")
	id := create(t, b, "large")
	kept := fill(t, b.Client, id)
	for path, want := range kept {
		wantContent(t, b.Client, id, path, want)
	}
	b.Kill()
	b.Start()
	for path, want := range kept {
		wantContent(t, b.Client, id, path, want)
	}
	if err := b.Client.DeleteContext(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	waitUntilGone(t, b.Data, "blobs")
	again := create(t, b, "again")
	if err := b.Client.PutContextFile(t.Context(), again, "/file", bytes.NewReader(random(16<<20))); err != nil {
		t.Errorf("put when there is room again: %v", err)
	}
}

func create(t *testing.T, b *live.Bay, name string) agentbay.ContextID {
	t.Helper()
	x, err := b.Client.CreateContext(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return x.ID
}

// fill puts files until the disk is full, and returns those that were taken.
func fill(t *testing.T, client *agentbay.Client, id agentbay.ContextID) map[string][]byte {
	t.Helper()
	kept := map[string][]byte{}
	for size := 16 << 20; size >= 64<<10; {
		path, text := fmt.Sprintf("/file%d", len(kept)), random(size)
		err := client.PutContextFile(t.Context(), id, path, bytes.NewReader(text))
		if err == nil {
			kept[path] = text
			continue
		}
		wantFull(t, "put", err)
		size /= 4
	}
	if len(kept) == 0 {
		t.Fatal("not one file was taken")
	}
	return kept
}

// wantFull checks that an error tells a client that there is no room.
func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	exhausted := errors.Is(err, agentbay.Exhausted) || what == "sync" && errors.Is(err, agentbay.Unavailable)
	said := err != nil && (strings.Contains(err.Error(), "no room") || strings.Contains(err.Error(), "short of disk space"))
	if !exhausted || !said {
		t.Errorf("%s on a full disk: %v, want one that says so", what, err)
	}
}

func random(size int) []byte {
	text := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}).Read(text)
	return text
}

func wantContent(t *testing.T, client *agentbay.Client, id agentbay.ContextID, path string, want []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := client.GetContextFile(t.Context(), id, path, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s has %d bytes, %v; want the %d that were put", path, got.Len(), err, len(want))
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-time.After(50 * time.Millisecond): // the wire has no event for it
		case <-ctx.Done():
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
