package bay

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// A HighWater says what must stay free on the host. Where less is free, new
// sessions are refused and those that are there go on. The zero HighWater lets
// everybody in.
type HighWater struct {
	Dir        string // on the file system that sessions write to
	FreeDisk   int64  // bytes; 0 means not checked
	FreeMemory int64  // bytes; 0 means not checked
}

// check is Exhausted if less is free than must be.
func (h HighWater) check() error {
	if h.FreeMemory > 0 {
		if err := enough("memory", h.FreeMemory, freeMemory); err != nil {
			return err
		}
	}
	if h.FreeDisk > 0 {
		return enough("disk space", h.FreeDisk, func() (int64, error) { return freeDisk(h.Dir) })
	}
	return nil
}

func enough(what string, want int64, read func() (int64, error)) error {
	free, err := read()
	if err != nil {
		return agentbay.Wrap(err, agentbay.Internal, "the host's free %s could not be read", what)
	}
	if free < want {
		return agentbay.Errorf(agentbay.Exhausted, "the host is short of %s: %s free, and new sessions are refused below %s; delete sessions or free some",
			what, gib(free), gib(want))
	}
	return nil
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func freeDisk(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// freeMemory is what the kernel thinks can be used without swapping.
func freeMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
}
