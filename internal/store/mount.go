package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/agentbay/agentbay"
)

// A Mount is a context in a session as it is kept: what callers may know, and
// what only the bay may. [Store.LetGo] of the session forgets it.
type Mount struct {
	agentbay.ContextMount // its Name is the context's, and read only
	Session               agentbay.SessionID
	MountName             string // in the machine; unique in the session
	Root                  string // the state of the context that is mounted
	Checkout              string // where the host has it
	Pending               bool   // what the session wrote is still to be saved; a new mount is
	Gone                  bool   // the context was deleted; there is nothing to save to
}

// AddMount records a mount, which is pending.
//
// Conflict: the session has a mount at that path; the message begins with
// "PathAlreadyBound".
func (s *Store) AddMount(ctx context.Context, m Mount) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := pathFree(ctx, tx, m); err != nil {
			return err
		}
		policy, err := json.Marshal(m.Policy)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO mounts (session_id, name, context_id, path, policy, root, checkout, bound_at, pending) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
			m.Session, m.MountName, m.Context, m.Path, string(policy), m.Root, m.Checkout, nanos(m.BoundAt))
		return err
	})
}

func pathFree(ctx context.Context, tx *sql.Tx, m Mount) error {
	var bound bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM mounts WHERE session_id = ? AND path = ?)", m.Session, m.Path).Scan(&bound)
	if err == nil && bound {
		return agentbay.Errorf(agentbay.Conflict, "PathAlreadyBound: session %s has a context at %s already; choose another path", m.Session, m.Path)
	}
	return err
}

// SetMount records which state of its context a mount shows, and where the host
// has it.
func (s *Store) SetMount(ctx context.Context, id agentbay.SessionID, mountName, root, checkout string) error {
	n, err := s.exec(ctx, "UPDATE mounts SET root = ?, checkout = ? WHERE session_id = ? AND name = ?", root, checkout, id, mountName)
	return changed(n, err, "mount", mountName)
}

const settle = "UPDATE mounts SET pending = 0 WHERE session_id = ? AND name = ?"

// SettleMount records that what a session wrote to a mount is saved for good.
// Settling what is settled or forgotten is not an error.
func (s *Store) SettleMount(ctx context.Context, id agentbay.SessionID, mountName string) error {
	_, err := s.exec(ctx, settle, id, mountName)
	return err
}

// DropMount forgets a mount that could not be made. Forgetting what is forgotten
// is not an error.
func (s *Store) DropMount(ctx context.Context, id agentbay.SessionID, mountName string) error {
	_, err := s.exec(ctx, "DELETE FROM mounts WHERE session_id = ? AND name = ?", id, mountName)
	return err
}

// Mounts returns the mounts of a session in the order of mounting.
func (s *Store) Mounts(ctx context.Context, id agentbay.SessionID) ([]Mount, error) {
	return s.mounts(ctx, "m.session_id = ?", id)
}

// PendingMounts returns the mounts of all sessions that are still to be saved,
// and whose contexts are there.
func (s *Store) PendingMounts(ctx context.Context) ([]Mount, error) {
	return s.mounts(ctx, "m.pending AND c.id IS NOT NULL")
}

// MountsOfContext returns the mounts of a context in all sessions.
func (s *Store) MountsOfContext(ctx context.Context, id agentbay.ContextID) ([]Mount, error) {
	return s.mounts(ctx, "m.context_id = ?", id)
}

func (s *Store) mounts(ctx context.Context, where string, args ...any) ([]Mount, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT m.session_id, m.name, m.context_id, m.path, m.policy, m.root, m.checkout, m.bound_at, m.pending, "+
		"coalesce(c.name, ''), c.id IS NULL FROM mounts m LEFT JOIN contexts c ON c.id = m.context_id WHERE "+where+" ORDER BY m.seq", args...)
	if err != nil {
		return nil, err
	}
	return collect(rows, scanMount)
}

func scanMount(r row) (m Mount, err error) {
	var policy string
	var bound int64
	err = r.Scan(&m.Session, &m.MountName, &m.Context, &m.Path, &policy, &m.Root, &m.Checkout, &bound, &m.Pending, &m.Name, &m.Gone)
	if err != nil {
		return m, err
	}
	m.BoundAt = moment(bound)
	err = json.Unmarshal([]byte(policy), &m.Policy)
	return m, err
}
