package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/agentbay/agentbay"
)

// An Incoming is a blob that a client may put by itself, to become a file of a
// context. It is forgotten with the context.
type Incoming struct {
	Name    string // the blob's
	Context agentbay.ContextID
	Path    string    // the file's, without a leading slash
	Expires time.Time // when it is not expected any more
}

// AddIncoming records a blob that may come.
//
// NotFound: the context is gone.
func (s *Store) AddIncoming(ctx context.Context, in Incoming) error {
	_, err := s.exec(ctx, "INSERT INTO incoming (name, context_id, path, expires_at) VALUES (?, ?, ?, ?)",
		in.Name, in.Context, in.Path, nanos(in.Expires))
	if isForeign(err) {
		return contextNotFound(in.Context)
	}
	return err
}

// Incoming finds what was recorded of a blob.
func (s *Store) Incoming(ctx context.Context, name string) (in Incoming, err error) {
	var expires int64
	err = s.db.Read.QueryRowContext(ctx, "SELECT name, context_id, path, expires_at FROM incoming WHERE name = ?", name).
		Scan(&in.Name, &in.Context, &in.Path, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return in, agentbay.Errorf(agentbay.NotFound, "blob %s is not expected", name)
	}
	in.Expires = moment(expires)
	return in, err
}

// Expects reports whether any blob may come for a context.
func (s *Store) Expects(ctx context.Context, id agentbay.ContextID) (some bool, err error) {
	err = s.db.Read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM incoming WHERE context_id = ?)", id).Scan(&some)
	return some, err
}

// ForgetIncoming forgets the blobs for a context that are not expected any more
// at now.
func (s *Store) ForgetIncoming(ctx context.Context, id agentbay.ContextID, now time.Time) error {
	_, err := s.exec(ctx, "DELETE FROM incoming WHERE context_id = ? AND expires_at <= ?", id, nanos(now))
	return err
}
