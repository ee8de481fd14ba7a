package bay

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A HighWater says what must stay free on the host, in bytes; 0 means not
// checked. Where less is free, new sessions are refused and those that are there
// go on. Where less than half of it is free, the session that uses the most is
// ended, if that helps: limits of sessions may add up to more than the host has,
// and it must survive them.
type HighWater struct {
	Dir        string // on the file system that sessions write to
	FreeDisk   int64
	FreeMemory int64

	Read func() (Room, error) // nil reads the host
}

// A Room is what is free on a host, in bytes.
type Room struct{ Disk, Memory int64 }

// A shortage is what there is too little of.
type shortage struct {
	what       string
	free, want int64
	use        func(runtime.Usage) int64 // how much of it a machine uses
}

// check is Exhausted if less is free than must be for one more session.
func (h HighWater) check() error {
	short, err := h.shortages(1)
	if err != nil || len(short) == 0 {
		return err
	}
	return short[0].refusal("new sessions are refused", "delete sessions or free some")
}

// room is Exhausted if less disk space is free than one part of what must be.
func (h HighWater) room(part int64, refused string) error {
	short, err := HighWater{Dir: h.Dir, FreeDisk: h.FreeDisk, Read: h.Read}.shortages(part)
	if err != nil || len(short) == 0 {
		return err
	}
	return short[0].refusal(refused, "delete sessions or contexts, or free some")
}

func (s shortage) refusal(refused, advice string) error {
	return agentbay.Errorf(agentbay.Exhausted, "the host is short of %s: %s free, and %s below %s; %s",
		s.what, gib(s.free), refused, gib(s.want), advice)
}

// shortages is what less is free of than one part of what must be.
func (h HighWater) shortages(part int64) (short []shortage, err error) {
	if h.FreeDisk <= 0 && h.FreeMemory <= 0 {
		return nil, nil
	}
	room, err := h.read()
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "what is free on the host could not be read")
	}
	for _, s := range []shortage{
		{"memory", room.Memory, h.FreeMemory / part, func(u runtime.Usage) int64 { return u.Memory }},
		{"disk space", room.Disk, h.FreeDisk / part, func(u runtime.Usage) int64 { return u.Disk }},
	} {
		if s.free < s.want {
			short = append(short, s)
		}
	}
	return short, nil
}

func (h HighWater) read() (r Room, err error) {
	if h.Read != nil {
		return h.Read()
	}
	if h.FreeDisk > 0 {
		r.Disk, err = freeDisk(h.Dir)
	}
	if h.FreeMemory > 0 && err == nil {
		r.Memory, err = freeMemory()
	}
	return r, err
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
