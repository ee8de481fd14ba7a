package store

import (
	"context"
	"database/sql"
	"errors"
)

// A KeyModel is the model that works on pages for an API key.
type KeyModel struct {
	URL    string // base of an API such as OpenAI's; empty if the key has no model of its own
	Name   string
	Secret string // the key of that API; may be empty
}

// KeyModel returns the model that a key has of its own; the zero one if it has none.
func (s *Store) KeyModel(ctx context.Context, key string) (m KeyModel, err error) {
	err = s.db.Read.QueryRowContext(ctx, "SELECT url, name, secret FROM key_models WHERE key_id = ?", key).Scan(&m.URL, &m.Name, &m.Secret)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return m, err
}

// SetKeyModel gives a key a model of its own, or takes it back with the zero one.
func (s *Store) SetKeyModel(ctx context.Context, key string, m KeyModel) error {
	if m == (KeyModel{}) {
		_, err := s.exec(ctx, "DELETE FROM key_models WHERE key_id = ?", key)
		return err
	}
	_, err := s.exec(ctx, "INSERT OR REPLACE INTO key_models (key_id, url, name, secret) VALUES (?, ?, ?, ?)", key, m.URL, m.Name, m.Secret)
	return err
}
