package store

import (
	"context"
	"time"

	"github.com/agentbay/agentbay"
)

// A Usage is what the bay's model was asked to do in a session.
type Usage struct {
	Session   agentbay.SessionID
	Day       string // in UTC, such as 2026-01-31
	Requests  int64
	TokensIn  int64
	TokensOut int64
}

// AddUsage counts what a key had the model do in a session.
func (s *Store) AddUsage(ctx context.Context, key string, u Usage, at time.Time) error {
	_, err := s.exec(ctx, `INSERT INTO model_usage (key_id, session_id, day, requests, tokens_in, tokens_out) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out`,
		key, u.Session, at.UTC().Format(time.DateOnly), u.Requests, u.TokensIn, u.TokensOut)
	if isForeign(err) {
		return nil // the key was deleted meanwhile
	}
	return err
}

// Usage returns what a key had the model do, by day and session, oldest first.
func (s *Store) Usage(ctx context.Context, key string) ([]Usage, error) {
	rows, err := s.db.Read.QueryContext(ctx,
		"SELECT session_id, day, requests, tokens_in, tokens_out FROM model_usage WHERE key_id = ? ORDER BY day, session_id", key)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (u Usage, err error) {
		return u, r.Scan(&u.Session, &u.Day, &u.Requests, &u.TokensIn, &u.TokensOut)
	})
}

// TokensUsed returns how many tokens a key has used of the model, both ways, in the
// day of a time.
func (s *Store) TokensUsed(ctx context.Context, key string, at time.Time) (n int64, err error) {
	return n, s.db.Read.QueryRowContext(ctx, "SELECT coalesce(sum(tokens_in + tokens_out), 0) FROM model_usage WHERE key_id = ? AND day = ?",
		key, at.UTC().Format(time.DateOnly)).Scan(&n)
}
