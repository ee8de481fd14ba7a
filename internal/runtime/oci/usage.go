package oci

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// Usage implements [runtime.Meter].
func (r *Runtime) Usage(_ context.Context, id agentbay.SessionID) (u runtime.Usage, err error) {
	m := r.find(id)
	if m == nil || !m.alive() {
		return u, agentbay.Errorf(agentbay.NotFound, "machine %s is not running", id)
	}
	limits := m.rec.Limits
	u = runtime.Usage{
		CPU: r.cgroups.cpu(id), Cores: limits.CPU,
		Memory: r.cgroups.memory(id), MemoryLimit: limits.Memory,
		Disk: m.diskUsed(), DiskLimit: m.diskLimit(),
	}
	link, err := netlink.LinkByIndex(m.rec.Place.IfIndex)
	if err != nil {
		return u, agentbay.Wrap(err, agentbay.Unavailable, "the network counters of machine %s cannot be read", id)
	}
	// What the host's end sends, the machine receives.
	s := link.Attrs().Statistics
	u.Received, u.Transmitted = int64(s.TxBytes), int64(s.RxBytes)
	return u, nil
}

func (h hierarchy) cpu(id agentbay.SessionID) time.Duration {
	if h.unified {
		return time.Duration(h.counter(id, "cpu", "", "cpu.stat", "usage_usec")) * time.Microsecond
	}
	return time.Duration(h.counter(id, "cpuacct", "cpuacct.usage", "", ""))
}

// memory is what the machine's processes hold, without the file cache that the
// kernel takes back when it is needed.
func (h hierarchy) memory(id agentbay.SessionID) int64 {
	used := h.counter(id, "memory", "memory.usage_in_bytes", "memory.current", "")
	cache := h.counter(id, "memory", "memory.stat", "memory.stat", h.word("total_inactive_file", "inactive_file"))
	return max(0, used-cache)
}

func (h hierarchy) word(v1, v2 string) string {
	if h.unified {
		return v2
	}
	return v1
}
