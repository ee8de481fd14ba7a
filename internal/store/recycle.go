package store

import (
	"context"
	"database/sql"

	"github.com/agentbay/agentbay"
)

// A Recycle is a rule: what is at or below Path of a context goes some days
// after it was saved.
type Recycle struct {
	Context agentbay.ContextID
	Path    string // a file's or directory's, without a leading slash; empty is everything
	Days    int
}

// SetRecycle replaces a context's rules for what is at or below prefix by rules,
// whose Context does not matter.
func (s *Store) SetRecycle(ctx context.Context, id agentbay.ContextID, prefix string, rules []Recycle) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := dropRecycle(ctx, tx, id, prefix); err != nil {
			return err
		}
		for _, r := range rules {
			_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO recycle (context_id, path, days) VALUES (?, ?, ?)", id, r.Path, r.Days)
			if isForeign(err) {
				return contextNotFound(id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// dropRecycle forgets the rules at or below prefix. '0' follows '/', so that the
// paths between are those below.
func dropRecycle(ctx context.Context, tx *sql.Tx, id agentbay.ContextID, prefix string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM recycle WHERE context_id = ?1 AND (?2 = '' OR path = ?2 OR path > ?2 || '/' AND path < ?2 || '0')", id, prefix)
	return err
}

// RecycleRules returns the rules of all contexts, each context's together.
func (s *Store) RecycleRules(ctx context.Context) ([]Recycle, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT context_id, path, days FROM recycle ORDER BY context_id, path")
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (x Recycle, err error) {
		err = r.Scan(&x.Context, &x.Path, &x.Days)
		return x, err
	})
}
