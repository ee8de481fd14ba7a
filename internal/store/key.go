package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/agentbay/agentbay"
)

// A Key is an API key, without the key.
type Key struct {
	ID          string // such as "ak-3kq7…"; what people and rows call it
	Name        string // chosen by who made it; unique
	Hash        string // see gate.Hash
	Visible     string // its first characters
	MaxSessions int    // how many sessions it may have at once; 0 means the server's default
	MaxStorage  int64  // how many bytes its contexts may hold; 0 means the server's default
	MaxTokens   int64  // how many tokens of the model it may use in a day; 0 means the server's default
	CreatedAt   time.Time
	UsedAt      time.Time // zero if never; exact to a minute
	Disabled    bool
}

const keyColumns = "id, name, hash, visible, max_sessions, max_storage, max_tokens, created_at, used_at, disabled"

// AddKey adds a key.
//
// Conflict: there is one of that name.
func (s *Store) AddKey(ctx context.Context, k Key) error {
	_, err := s.exec(ctx, "INSERT INTO api_keys ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		k.ID, k.Name, k.Hash, k.Visible, k.MaxSessions, k.MaxStorage, k.MaxTokens, nanos(k.CreatedAt), nanos(k.UsedAt), k.Disabled)
	if isDuplicate(err) {
		return agentbay.Errorf(agentbay.Conflict, "there is an API key named %q already; choose another name", k.Name)
	}
	return err
}

func isDuplicate(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// isForeign reports whether a write failed because what it refers to is not
// there.
func isForeign(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

// KeyByHash finds a key by the hash of its secret. It reads the row on every
// call, so that a key disabled by another process is disabled at once.
func (s *Store) KeyByHash(ctx context.Context, hash string) (Key, error) {
	k, err := scanKey(s.db.Read.QueryRowContext(ctx, "SELECT "+keyColumns+" FROM api_keys WHERE hash = ?", hash))
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, agentbay.Errorf(agentbay.NotFound, "API key not found")
	}
	return k, err
}

// Key finds a key by its ID or its name.
func (s *Store) Key(ctx context.Context, idOrName string) (Key, error) {
	k, err := scanKey(s.db.Read.QueryRowContext(ctx,
		"SELECT "+keyColumns+" FROM api_keys WHERE id = ?1 OR name = ?1 ORDER BY id <> ?1 LIMIT 1", idOrName))
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, agentbay.Errorf(agentbay.NotFound, "API key %q not found; `agentbay apikey ls` shows what there is", idOrName)
	}
	return k, err
}

// Keys returns every key, oldest first.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+keyColumns+" FROM api_keys ORDER BY created_at, id")
	if err != nil {
		return nil, err
	}
	return collect(rows, scanKey)
}

// DisableKey disables a key or enables it again.
func (s *Store) DisableKey(ctx context.Context, id string, disabled bool) error {
	n, err := s.exec(ctx, "UPDATE api_keys SET disabled = ? WHERE id = ?", disabled, id)
	return changed(n, err, "API key", id)
}

// TouchKey records that a key was used.
func (s *Store) TouchKey(ctx context.Context, id string, at time.Time) error {
	_, err := s.exec(ctx, "UPDATE api_keys SET used_at = max(used_at, ?) WHERE id = ?", nanos(at), id)
	return err
}

// DeleteKey forgets a key and its contexts for good. Its sessions are no longer
// reachable.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	return s.db.Durably(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM api_keys WHERE id = ?", id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err := changed(n, err, "API key", id); err != nil {
			return err
		}
		return deleteContexts(ctx, tx, id)
	})
}

// changed is NotFound if a write changed nothing.
func changed(n int64, err error, what, id string) error {
	if err == nil && n == 0 {
		return agentbay.Errorf(agentbay.NotFound, "%s %s not found", what, id)
	}
	return err
}

// A row is *sql.Row or *sql.Rows.
type row interface{ Scan(...any) error }

func scanKey(r row) (k Key, err error) {
	var created, used int64
	err = r.Scan(&k.ID, &k.Name, &k.Hash, &k.Visible, &k.MaxSessions, &k.MaxStorage, &k.MaxTokens, &created, &used, &k.Disabled)
	k.CreatedAt, k.UsedAt = moment(created), moment(used)
	return k, err
}

// collect scans all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(row) (T, error)) (all []T, err error) {
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
