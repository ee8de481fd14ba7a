package store

import (
	"context"

	"github.com/agentbay/agentbay"
)

// BeginSync records that files are being moved. [Store.LetGo] of the session
// forgets it.
func (s *Store) BeginSync(ctx context.Context, r agentbay.SyncRequest) error {
	_, err := s.exec(ctx, "INSERT OR IGNORE INTO syncs (session_id, context_id, path, mode) VALUES (?, ?, ?, ?)",
		r.Session, r.Context, r.Path, r.Mode)
	return err
}

// EndSync records that files are not being moved any more.
func (s *Store) EndSync(ctx context.Context, r agentbay.SyncRequest) error {
	_, err := s.exec(ctx, "DELETE FROM syncs WHERE session_id = ? AND context_id = ? AND path = ? AND mode = ?",
		r.Session, r.Context, r.Path, r.Mode)
	return err
}

// OpenSyncs returns what was begun and has not ended in a session.
func (s *Store) OpenSyncs(ctx context.Context, id agentbay.SessionID) ([]agentbay.SyncRequest, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT session_id, context_id, path, mode FROM syncs WHERE session_id = ?", id)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r row) (x agentbay.SyncRequest, err error) {
		err = r.Scan(&x.Session, &x.Context, &x.Path, &x.Mode)
		return x, err
	})
}
