// Package index remembers where the chunks of contexts are, in an SQLite file
// of its own: it is big beside what else a server knows, and can be made anew
// from the blobs. What is written to it survives the loss of power, so that it
// never knows less than a committed root needs.
package index

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"

	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/sqlite"
)

// Memory is the path of an index that is kept in memory and lost when closed,
// for tests.
const Memory = sqlite.Memory

// A File is the chunk indexes of all tenants. Its methods may be called
// concurrently.
type File struct{ db *sqlite.DB }

//go:embed migrations/*.sql
var migrations embed.FS

// cache is how many KB of the file a connection keeps in memory. Chunks are
// scattered over the file by their hash.
const cache = "cache_size(-32000)"

// Open opens the file at path, and makes it if it is missing.
//
// Conflict: it was written by a newer release.
func Open(ctx context.Context, path string) (*File, error) {
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, path, scripts, cache)
	if err != nil {
		return nil, err
	}
	return &File{db}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// Tenant returns the index of one tenant, which need not be known yet.
func (f *File) Tenant(name string) contexts.Index { return &tenant{f.db, name} }

// DropTenant forgets all chunks and packs of a tenant. Dropping one that is not
// known is not an error.
func (f *File) DropTenant(ctx context.Context, name string) error {
	return f.db.Durably(ctx, func(tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM chunks WHERE tenant = (SELECT id FROM tenants WHERE name = ?)",
			"DELETE FROM packs WHERE tenant = (SELECT id FROM tenants WHERE name = ?)",
			"DELETE FROM tenants WHERE name = ?",
		} {
			if _, err := tx.ExecContext(ctx, query, name); err != nil {
				return err
			}
		}
		return nil
	})
}
