package bay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// log writes the one line of an operation.
func (c *caller) log(ctx context.Context, what string, began time.Time, err error, more ...any) {
	level := slog.LevelInfo
	args := []any{"request_id", gate.RequestID(ctx), "key", c.key.ID, "took_ms", float64(time.Since(began).Microseconds()) / 1000}
	args = append(args, more...)
	if err != nil {
		code := agentbay.CodeOf(err)
		if code == agentbay.Internal && !errors.Is(err, context.Canceled) {
			level = slog.LevelError
		}
		args = append(args, "code", string(code), "err", gate.Scrub(err.Error()))
	}
	c.bay.Log.Log(ctx, level, what, args...)
}

// logEnd writes that a session has ended.
func (b *Bay) logEnd(s *session) {
	b.mu.Lock()
	reason := s.EndReason
	b.mu.Unlock()
	b.Log.Info("session ended", "session", s.ID, "reason", reason)
}

// check logs what went wrong where nobody waits for an answer.
func (b *Bay) check(s *session, what string, err error) {
	if err != nil {
		b.Log.Error(what+" failed", "session", s.ID, "err", gate.Scrub(err.Error()))
	}
}
