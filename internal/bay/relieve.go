package bay

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// relieve ends the session that uses most of what the host is about to run out
// of. It returns when the session is released, so that the next look at the host
// sees what that gave back.
func (b *Bay) relieve(ctx context.Context) {
	short, err := b.HighWater.shortages(2)
	if err != nil {
		b.Log.ErrorContext(ctx, "the host could not be looked at", "err", err)
	}
	for _, s := range short {
		if x, used := b.heaviest(ctx, s); x != nil {
			b.sacrifice(ctx, x, fmt.Sprintf("the host ran short of %s (%s free) and this session used the most (%s)", s.what, gib(s.free), gib(used)))
		}
	}
}

// heaviest returns the session that uses most of what is short, or nil if none
// uses enough for its end to make a difference.
func (b *Bay) heaviest(ctx context.Context, short shortage) (heaviest *session, most int64) {
	most = short.want / 4
	for _, s := range b.inService() {
		meter, ok := s.machine.(runtime.Meter)
		if !ok {
			continue
		}
		u, err := meter.Usage(ctx, s.ID)
		if err == nil && short.use(u) >= most {
			heaviest, most = s, short.use(u)
		}
	}
	return heaviest, most
}

// inService returns the sessions that have a machine, spare ones too.
func (b *Bay) inService() (all []*session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.live {
		if s.State == agentbay.Running || s.spare {
			all = append(all, s)
		}
	}
	return all
}

// sacrifice ends a session and waits until it is released.
func (b *Bay) sacrifice(ctx context.Context, s *session, reason string) {
	if err := b.condemn(ctx, s, reason); !errors.Is(err, agentbay.Conflict) {
		b.release(s)
	}
}
