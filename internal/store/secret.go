package store

import (
	"context"
	"crypto/rand"
	"database/sql"
)

// Secret returns the secret of a name: 32 random bytes, made when they are first
// asked for and the same ever after.
func (s *Store) Secret(ctx context.Context, name string) (secret []byte, err error) {
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO secrets (name, secret) VALUES (?, ?)", name, fresh); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT secret FROM secrets WHERE name = ?", name).Scan(&secret)
	})
	return secret, err
}
