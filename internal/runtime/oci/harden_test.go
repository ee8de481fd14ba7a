package oci

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/agentbay/agentbay"
)

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Root in a session that shares the host's kernel is nobody outside of it.
func TestRootInsideIsNobodyOutside(t *testing.T) {
	l := newLab(t, RunC)
	r := l.start("a", "b")
	if !r.userNS {
		t.Skip("this host cannot shift users")
	}
	first, second := hostUser(t, r, "a"), hostUser(t, r, "b")
	if first == 0 || first == second {
		t.Errorf("root of two machines is %d and %d on the host, want two others than 0", first, second)
	}
}

// hostUser is who a machine's guest is to the host.
func hostUser(t *testing.T, r *Runtime, id agentbay.SessionID) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.find(id).rec.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			uid, _ := strconv.Atoi(strings.Fields(rest)[0])
			return uid
		}
	}
	return 0
}

// What a session may not ask of the host's kernel, it is refused.
func TestKernelIsOutOfReach(t *testing.T) {
	l := newLab(t, RunC)
	r := l.start("a")
	for _, try := range []string{"mount", "unshare", "clone-user", "bpf", "keyctl", "vsock", "packet", "io_uring"} {
		if got := l.ask(r, "a", "/syscall?name=%s", try); got == "" {
			t.Errorf("%s is allowed", try)
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"} {
		if got := l.ask(r, "a", "/fill?path=%s&mib=0", path); got == "" {
			t.Errorf("%s can be opened for writing", path)
		}
	}
	if got := l.ask(r, "a", "/read?path=/proc/kcore"); len(got) > 200 {
		t.Error("/proc/kcore can be read")
	}
}

// However many machines come and go, nothing stays.
func TestManyMachinesLeaveNothing(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		total := 24
		if n, err := strconv.Atoi(os.Getenv("AGENTBAY_TEST_MACHINES")); err == nil {
			total = n
		}
		r := l.start()
		before := openFilesOf(t)
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for n := worker; n < total; n += 4 {
					spec := l.spec(agentbay.SessionID(fmt.Sprintf("m%d", n)))
					if err := r.Start(context.Background(), spec); err != nil {
						t.Errorf("Start %s: %v", spec.ID, err)
					}
					if err := r.Stop(context.Background(), spec.ID); err != nil {
						t.Errorf("Stop %s: %v", spec.ID, err)
					}
				}
			})
		}
		group.Wait()
		if after := openFilesOf(t); after > before+10 {
			t.Errorf("%d files are open after %d machines, %d were before", after, total, before)
		}
	})
}

func openFilesOf(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
