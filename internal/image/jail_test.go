package image

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What sessions have mounted is not kept from going by a build, nor taken away.
func TestBuildDoesNotHoldSessions(t *testing.T) {
	if err := needRoot(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir() + "/machines/runtime/contexts"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(source, at, kind string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(source, at, kind, flags, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
	}
	mount(dir, dir, "", unix.MS_BIND)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	mount("", dir, "", unix.MS_PRIVATE)
	if err := os.Mkdir(dir+"/session", 0o755); err != nil {
		t.Fatal(err)
	}
	mount("none", dir+"/session", "tmpfs", 0)
	mounts := func() int {
		b, _ := os.ReadFile("/proc/self/mountinfo")
		return strings.Count(string(b), dir)
	}
	before := mounts()

	lock, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var log bytes.Buffer
	j := &jail{script: "cat /proc/self/mountinfo", lock: lock, log: &log}
	if err := j.run(t.Context()); err != nil {
		t.Fatalf("run: %v: %s", err, log.String())
	}
	if !strings.Contains(log.String(), " / ") || strings.Contains(log.String(), dir) {
		t.Errorf("a build has %s", log.String())
	}
	if after := mounts(); after != before {
		t.Errorf("a build has changed the host's mounts: %d of %d", after, before)
	}
}
