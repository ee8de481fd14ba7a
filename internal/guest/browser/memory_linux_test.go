package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agentbay/agentbay/tool"
)

// A table is a directory such as /proc, with some processes.
func table(t *testing.T, meminfo string, processes map[int]string) string {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "meminfo"), []byte(meminfo), 0o600))
	for pid, said := range processes {
		var line string
		var group, pages int
		fmt.Sscanf(said, "%s %d %d", &line, &group, &pages)
		at := filepath.Join(dir, fmt.Sprint(pid))
		must(t, os.Mkdir(at, 0o700))
		must(t, os.WriteFile(filepath.Join(at, "cmdline"), []byte("chromium\x00"+line+"\x00"), 0o600))
		must(t, os.WriteFile(filepath.Join(at, "stat"), fmt.Appendf(nil, "%d (chro) mium) S 1 %d 7 0", pid, group), 0o600))
		must(t, os.WriteFile(filepath.Join(at, "statm"), fmt.Appendf(nil, "999999 %d 1 1 0 1 0", pages), 0o600))
	}
	return dir
}

func TestTheLargestPageIsGivenUp(t *testing.T) {
	mb := (1 << 20) / os.Getpagesize()
	for name, test := range map[string]struct {
		processes map[int]string
		want      int
	}{
		"the largest": {map[int]string{
			10: fmt.Sprintf("--no-first-run 10 %d", 900*mb), 11: fmt.Sprintf("--type=renderer 10 %d", 50*mb),
			12: fmt.Sprintf("--type=renderer 10 %d", 80*mb), 13: fmt.Sprintf("--type=gpu-process 10 %d", 300*mb),
			14: fmt.Sprintf("--type=renderer 99 %d", 500*mb), // of another browser
		}, 12},
		"none that helps": {map[int]string{11: fmt.Sprintf("--type=renderer 10 %d", 2*mb)}, 0},
	} {
		if got := largest(table(t, "", test.processes), 10); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestMemoryIsRead(t *testing.T) {
	total, free, err := memory(table(t, "MemTotal:        2097152 kB\nMemFree:  5 kB\nMemAvailable:    1048576 kB\nodd\n", nil))
	if total != 2<<30 || free != 1<<30 || err != nil {
		t.Errorf("%d, %d, %v", total, free, err)
	}
	for _, odd := range []string{"", "MemTotal: x kB"} {
		if _, _, err := memory(table(t, odd, nil)); err == nil {
			t.Errorf("%q says how much memory there is", odd)
		}
	}
}

func TestAPageThatCrashesWhileItLoadsIsToldOf(t *testing.T) {
	b := newBrowser(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dies" {
			fmt.Fprint(w, "<!doctype html><title>Dies</title><script src=/dies></script>")
			return
		}
		for {
			pid := largest("/proc", b.running.cmd.Process.Pid)
			if pid == 0 {
				return
			}
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}))
	defer srv.Close()
	if _, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless}); failure != "" {
		t.Fatal(failure)
	}
	if text, failure := goTo(t, b, srv.URL); !strings.Contains(failure, "has crashed") {
		t.Errorf("%q, %q", text, failure)
	}
}
