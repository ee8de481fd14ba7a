package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"github.com/agentbay/agentbay"
)

// A Context is a context as it is kept: what its owner may know, and what only
// the bay may.
type Context struct {
	agentbay.ContextInfo
	KeyID  string // the API key it belongs to
	Hidden string // empty, or what it is for, such as "transfer"; hidden ones are not listed and share names
	Root   string // names its files; changed by [Store.Commit] alone
}

const contextColumns = "id, key_id, name, hidden, state, created_at, used_at, root, files, bytes"

// AddContext records a context.
//
// Conflict: the key has a context of that name.
func (s *Store) AddContext(ctx context.Context, c Context) error {
	_, err := s.exec(ctx, "INSERT INTO contexts ("+contextColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		c.ID, c.KeyID, c.Name, c.Hidden, c.State, nanos(c.CreatedAt), nanos(c.UsedAt), c.Root, c.Files, c.Bytes)
	return nameTaken(err, c.Name)
}

// nameTaken is Conflict if a write failed because of a context's name.
func nameTaken(err error, name string) error {
	if isDuplicate(err) {
		return agentbay.Errorf(agentbay.Conflict, "there is a context named %q already; choose another name", name)
	}
	return err
}

// Context finds a context, hidden or not.
func (s *Store) Context(ctx context.Context, id agentbay.ContextID) (Context, error) {
	c, err := scanContext(s.db.Read.QueryRowContext(ctx, "SELECT "+contextColumns+" FROM contexts WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Context{}, contextNotFound(id)
	}
	return c, err
}

func contextNotFound(id agentbay.ContextID) error {
	return agentbay.Errorf(agentbay.NotFound, "context %s not found", id)
}

// ContextNamed finds a context that is not hidden by the name that its key gave
// it.
func (s *Store) ContextNamed(ctx context.Context, keyID, name string) (Context, error) {
	c, err := scanContext(s.db.Read.QueryRowContext(ctx,
		"SELECT "+contextColumns+" FROM contexts WHERE key_id = ? AND name = ? AND hidden = ''", keyID, name))
	if errors.Is(err, sql.ErrNoRows) {
		return Context{}, agentbay.Errorf(agentbay.NotFound, "there is no context named %q", name)
	}
	return c, err
}

// Contexts lists a key's contexts, newest first, without the hidden ones.
//
// Invalid: the query's token was not made here.
func (s *Store) Contexts(ctx context.Context, keyID string, q agentbay.ContextQuery) (*agentbay.ContextPage, error) {
	offset, err := readToken(q.Token)
	if err != nil {
		return nil, err
	}
	where, args := "key_id = ? AND hidden = ''", []any{keyID}
	if q.Session != "" {
		where += " AND id IN (SELECT context_id FROM mounts WHERE session_id = ?)"
		args = append(args, q.Session)
	}
	page := new(agentbay.ContextPage)
	if err := s.db.Read.QueryRowContext(ctx, "SELECT count(*) FROM contexts WHERE "+where, args...).Scan(&page.Total); err != nil {
		return nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+contextColumns+" FROM contexts WHERE "+where+
		" ORDER BY created_at DESC, seq DESC LIMIT ? OFFSET ?", append(args, pageLimit(q.Limit), offset)...)
	if err != nil {
		return nil, err
	}
	page.Contexts, err = collect(rows, scanContextInfo)
	if end := offset + int64(len(page.Contexts)); len(page.Contexts) > 0 && end < int64(page.Total) {
		page.Next = token(end)
	}
	return page, err
}

// EachContext yields the contexts of all keys, hidden ones too, oldest first.
// The store can be used meanwhile; what is added or removed meanwhile may be
// yielded or not.
func (s *Store) EachContext(ctx context.Context) iter.Seq2[Context, error] {
	return func(yield func(Context, error) bool) {
		for after, more := int64(0), true; more; {
			var batch []Context
			var err error
			if batch, after, err = s.contextsAfter(ctx, after); err != nil {
				yield(Context{}, err)
				return
			}
			for _, c := range batch {
				if !yield(c, nil) {
					return
				}
			}
			more = len(batch) == maxLimit
		}
	}
}

// contextsAfter reads the contexts whose rows follow number seq, at most
// maxLimit, and returns the number of the last.
func (s *Store) contextsAfter(ctx context.Context, seq int64) ([]Context, int64, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT seq, "+contextColumns+" FROM contexts WHERE seq > ? ORDER BY seq LIMIT ?", seq, maxLimit)
	if err != nil {
		return nil, 0, err
	}
	batch, err := collect(rows, func(r row) (Context, error) { return scanContext(r, &seq) })
	return batch, seq, err
}

// RenameContext gives a context another name.
//
// Conflict: its key has another context of that name.
func (s *Store) RenameContext(ctx context.Context, id agentbay.ContextID, name string) error {
	n, err := s.exec(ctx, "UPDATE contexts SET name = ? WHERE id = ?", name, id)
	return changed(n, nameTaken(err, name), "context", string(id))
}

// SetContextState moves a context to a state.
func (s *Store) SetContextState(ctx context.Context, id agentbay.ContextID, to agentbay.ContextState) error {
	n, err := s.exec(ctx, "UPDATE contexts SET state = ? WHERE id = ?", to, id)
	return changed(n, err, "context", string(id))
}

// TouchContext records that a context was used.
func (s *Store) TouchContext(ctx context.Context, id agentbay.ContextID, at time.Time) error {
	_, err := s.exec(ctx, "UPDATE contexts SET used_at = max(used_at, ?) WHERE id = ?", nanos(at), id)
	return err
}

// DeleteContext forgets a context, its snapshots and its recycle rules for good:
// once it returns nil, what only they needed may be removed. Mounts of it stay
// until their sessions are let go.
func (s *Store) DeleteContext(ctx context.Context, id agentbay.ContextID) error {
	return s.db.Durably(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM contexts WHERE id = ?", id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		return changed(n, err, "context", string(id))
	})
}

// deleteContexts forgets all contexts of a key that is deleted. An empty one stays
// in their place, so that [Store.EachContext] tells whose data may be removed:
// also that of contexts that were deleted before.
func deleteContexts(ctx context.Context, tx *sql.Tx, keyID string) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM contexts WHERE key_id = ?", keyID); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO contexts ("+contextColumns+") VALUES (?, ?, '', '', ?, 0, 0, '', 0, 0)",
		"deleted-"+keyID, keyID, agentbay.ContextAvailable)
	return err
}

// ContextBytes returns how much the files of a key's contexts hold in all,
// hidden ones included.
func (s *Store) ContextBytes(ctx context.Context, keyID string) (n int64, err error) {
	err = s.db.Read.QueryRowContext(ctx, "SELECT coalesce(sum(bytes), 0) FROM contexts WHERE key_id = ?", keyID).Scan(&n)
	return n, err
}

// scanContext scans the columns of a context behind those that before takes.
func scanContext(r row, before ...any) (c Context, err error) {
	var created, used int64
	err = r.Scan(append(before, &c.ID, &c.KeyID, &c.Name, &c.Hidden, &c.State, &created, &used, &c.Root, &c.Files, &c.Bytes)...)
	c.CreatedAt, c.UsedAt = moment(created), moment(used)
	return c, err
}

func scanContextInfo(r row) (agentbay.ContextInfo, error) {
	c, err := scanContext(r)
	return c.ContextInfo, err
}
