package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/agentbay/agentbay"
)

// A Session is a session as it is kept: what callers may know, and what only
// the bay may.
type Session struct {
	agentbay.SessionInfo           // without its URLs
	KeyID                string    // the API key it belongs to; empty while no caller has it
	Runtime              string    // name of the runtime its machine is in
	GuestToken           string    // secret between host and guest
	SDK                  string    // what made the request
	ActiveAt             time.Time // last known activity
	Held                 bool      // something on the host may still be kept for it
	ViewRound            int       // of links to its page; those of earlier rounds are revoked
	Waits                bool      // the agent's input waits while a person has control
}

const sessionColumns = "id, key_id, image, image_digest, runtime, isolation, state, labels, idle_timeout, " +
	"created_at, active_at, ended_at, end_reason, token, guest_token, sdk, waits, held, view_round"

// AddSession records a session. It is held until [Store.LetGo].
func (s *Store) AddSession(ctx context.Context, x Session) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		labels, err := json.Marshal(orEmpty(x.Labels))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO sessions ("+sessionColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0)",
			x.ID, x.KeyID, x.Image, x.ImageDigest, x.Runtime, x.Isolation, x.State, string(labels), int64(x.IdleTimeout),
			nanos(x.CreatedAt), nanos(x.ActiveAt), nanos(x.EndedAt), x.EndReason, x.Token, x.GuestToken, x.SDK, x.Waits)
		if err != nil {
			return err
		}
		return indexLabels(ctx, tx, x.ID, x.Labels)
	})
}

// Session finds a session, also after it has ended.
func (s *Store) Session(ctx context.Context, id agentbay.SessionID) (Session, error) {
	x, err := scanSession(s.db.Read.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, agentbay.Errorf(agentbay.NotFound, "session %s not found", id)
	}
	return x, err
}

// Held returns every session for which something on the host may be kept.
func (s *Store) Held(ctx context.Context) ([]Session, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE held ORDER BY seq")
	if err != nil {
		return nil, err
	}
	return collect(rows, scanSession)
}

// SetState moves a session to a state other than Finished. One that is Finished
// stays so.
func (s *Store) SetState(ctx context.Context, id agentbay.SessionID, to agentbay.State) error {
	n, err := s.exec(ctx, "UPDATE sessions SET state = ? WHERE id = ? AND state <> ?", to, id, agentbay.Finished)
	return changed(n, err, "session", string(id))
}

// Deleting moves a session to Deleting and keeps why. One that is Finished
// stays so.
func (s *Store) Deleting(ctx context.Context, id agentbay.SessionID, reason string) error {
	_, err := s.exec(ctx, "UPDATE sessions SET state = ?, end_reason = ? WHERE id = ? AND state <> ?",
		agentbay.Deleting, reason, id, agentbay.Finished)
	return err
}

// Finish moves a session to Finished. One that is Finished already keeps its
// first reason and time.
func (s *Store) Finish(ctx context.Context, id agentbay.SessionID, reason string, at time.Time) error {
	_, err := s.exec(ctx, "UPDATE sessions SET state = ?, end_reason = ?, ended_at = ? WHERE id = ? AND state <> ?",
		agentbay.Finished, reason, nanos(at), id, agentbay.Finished)
	return err
}

// LetGo records that nothing on the host is kept for a session any more, which
// is thereby Finished, and forgets its mounts, saved or not. One that was
// Finished already keeps its first reason and time.
func (s *Store) LetGo(ctx context.Context, id agentbay.SessionID, reason string, at time.Time) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"mounts", "syncs"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE session_id = ?", id); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "UPDATE sessions SET held = 0, "+
			"end_reason = iif(state = ?1, end_reason, ?2), ended_at = iif(state = ?1, ended_at, ?3), state = ?1 WHERE id = ?4",
			agentbay.Finished, reason, nanos(at), id)
		return err
	})
}

// Give hands a session that no caller has to the caller x.KeyID, with x's
// labels, idle timeout, times, state and names. Only one Give of a session succeeds.
//
// Conflict: another caller has it, or it has ended.
func (s *Store) Give(ctx context.Context, x Session) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		labels, err := json.Marshal(orEmpty(x.Labels))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE sessions SET key_id = ?, image = ?, labels = ?, idle_timeout = ?, created_at = ?, "+
			"active_at = ?, sdk = ?, waits = ?, state = ? WHERE id = ? AND key_id = '' AND state = ?",
			x.KeyID, x.Image, string(labels), int64(x.IdleTimeout), nanos(x.CreatedAt), nanos(x.ActiveAt), x.SDK, x.Waits, x.State, x.ID, agentbay.Starting)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, agentbay.Errorf(agentbay.Conflict, "session %s is taken", x.ID))
		}
		return indexLabels(ctx, tx, x.ID, x.Labels)
	})
}

// SetLabels replaces a session's labels.
func (s *Store) SetLabels(ctx context.Context, id agentbay.SessionID, labels map[string]string) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		b, err := json.Marshal(orEmpty(labels))
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE sessions SET labels = ? WHERE id = ?", string(b), id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err := changed(n, err, "session", string(id)); err != nil {
			return err
		}
		return indexLabels(ctx, tx, id, labels)
	})
}

// indexLabels makes the labels table agree with a session's row.
func indexLabels(ctx context.Context, tx *sql.Tx, id agentbay.SessionID, labels map[string]string) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM labels WHERE session_id = ?", id); err != nil {
		return err
	}
	for key, value := range labels {
		if _, err := tx.ExecContext(ctx, "INSERT INTO labels VALUES (?, ?, ?)", id, key, value); err != nil {
			return err
		}
	}
	return nil
}

// Touch records when sessions were last active.
func (s *Store) Touch(ctx context.Context, active map[agentbay.SessionID]time.Time) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		for id, at := range active {
			if _, err := tx.ExecContext(ctx, "UPDATE sessions SET active_at = ? WHERE id = ?", nanos(at), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget deletes the record of a session.
func (s *Store) Forget(ctx context.Context, id agentbay.SessionID) error {
	_, err := s.exec(ctx, "DELETE FROM sessions WHERE id = ?", id)
	return err
}

// ForgetEnded deletes the records of sessions that ended before a time and for
// which nothing is held, and returns how many there were.
func (s *Store) ForgetEnded(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "DELETE FROM sessions WHERE ended_at > 0 AND ended_at < ? AND state = ? AND NOT held", nanos(before), agentbay.Finished)
}

func scanSession(r row) (x Session, err error) {
	var labels string
	var idle, created, active, ended int64
	err = r.Scan(&x.ID, &x.KeyID, &x.Image, &x.ImageDigest, &x.Runtime, &x.Isolation, &x.State, &labels, &idle,
		&created, &active, &ended, &x.EndReason, &x.Token, &x.GuestToken, &x.SDK, &x.Waits, &x.Held, &x.ViewRound)
	if err != nil {
		return x, err
	}
	x.IdleTimeout = time.Duration(idle)
	x.CreatedAt, x.ActiveAt, x.EndedAt = moment(created), moment(active), moment(ended)
	err = json.Unmarshal([]byte(labels), &x.Labels)
	return x, err
}

// orEmpty makes nil labels the empty object.
func orEmpty(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}
