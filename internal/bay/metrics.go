package bay

import (
	"context"
	"math"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/tool"
)

// A sample is one reading of a machine's counters.
type sample struct {
	at  time.Time
	use runtime.Usage
	out tool.MetricsOut // what was said of it
}

// minInterval is the shortest time between two readings that rates are made of.
const minInterval = 200 * time.Millisecond

// measure reads a session's counters. Rates are averages since the last reading,
// and since boot for the first.
func (b *Bay) measure(ctx context.Context, meter runtime.Meter, s *session) (tool.MetricsOut, error) {
	now := time.Now()
	u, err := meter.Usage(ctx, s.ID)
	if err != nil {
		return tool.MetricsOut{}, agentbay.Wrap(err, agentbay.Unavailable, "the session could not be measured; try again")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	last := s.metered
	if last.at.IsZero() {
		last.at = s.CreatedAt
	}
	out := totals(u, now)
	if interval := now.Sub(last.at); interval >= minInterval {
		rates(&out, last.use, u, interval)
		s.metered = sample{now, u, out}
	} else {
		out.CPUUsedPct, out.RxRateKByte, out.TxRateKByte = last.out.CPUUsedPct, last.out.RxRateKByte, last.out.TxRateKByte
	}
	return out, nil
}

func totals(u runtime.Usage, now time.Time) tool.MetricsOut {
	return tool.MetricsOut{
		CPUCount:    u.Cores,
		MemTotal:    u.MemoryLimit,
		MemUsed:     u.Memory,
		DiskTotal:   u.DiskLimit,
		DiskUsed:    u.Disk,
		RxUsedKByte: kbytes(u.Received),
		TxUsedKByte: kbytes(u.Transmitted),
		Timestamp:   now.Format(time.RFC3339),
	}
}

// rates fills in what has to do with time. Counters that went backwards, as
// after a restart of what counts, are taken as standing still.
func rates(out *tool.MetricsOut, before, after runtime.Usage, interval time.Duration) {
	s := interval.Seconds()
	if cores := after.Cores; cores > 0 {
		used := max(0, after.CPU-before.CPU).Seconds()
		out.CPUUsedPct = round(min(100, 100*used/(s*cores)))
	}
	out.RxRateKByte = round(kbytes(max(0, after.Received-before.Received)) / s)
	out.TxRateKByte = round(kbytes(max(0, after.Transmitted-before.Transmitted)) / s)
}

func kbytes(n int64) float64 { return float64(n) / 1024 }

// round keeps two digits after the point.
func round(f float64) float64 { return math.Round(f*100) / 100 }
