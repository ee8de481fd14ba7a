package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agentbay/agentbay"
)

var first = fstest.MapFS{"0001_a.sql": {Data: []byte("CREATE TABLE a (n INTEGER) STRICT; INSERT INTO a VALUES (1)")}}

func open(t *testing.T, path string, migrations fstest.MapFS) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func number(t *testing.T, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrationsRunOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path, first)
	second := fstest.MapFS{"0001_a.sql": first["0001_a.sql"], "0002_b.sql": {Data: []byte("UPDATE a SET n = n + 1")}}
	open(t, path, second)
	if n := number(t, open(t, path, second).Read, "SELECT n FROM a"); n != 2 {
		t.Errorf("n = %d, want 2", n)
	}
	if _, err := Open(t.Context(), path, first); !errors.Is(err, agentbay.Conflict) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open by an older release: %v, want Conflict naming the file", err)
	}
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open(t, path, first)
	broken := fstest.MapFS{"0001_a.sql": first["0001_a.sql"], "0002_b.sql": {Data: []byte("UPDATE a SET n = 9; nonsense")}}
	if _, err := Open(t.Context(), path, broken); err == nil || !strings.Contains(err.Error(), "0002_b.sql") {
		t.Errorf("Open with a broken migration: %v, want an error naming it", err)
	}
	if n := number(t, open(t, path, first).Read, "SELECT n FROM a"); n != 1 {
		t.Errorf("n = %d after a failed migration, want 1", n)
	}
}

func TestFailedTxChangesNothing(t *testing.T) {
	for _, path := range []string{Memory, filepath.Join(t.TempDir(), "x.db")} {
		db, failure := open(t, path, first), errors.New("failure")
		for name, write := range map[string]func(context.Context, func(*sql.Tx) error) error{"Tx": db.Tx, "Durably": db.Durably} {
			err := write(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec("UPDATE a SET n = 9")
				return errors.Join(err, failure)
			})
			if !errors.Is(err, failure) || number(t, db.Read, "SELECT n FROM a") != 1 {
				t.Errorf("%s that failed with %v left a change in %s", name, err, path)
			}
		}
	}
}

// SQLite syncs each transaction to the disk when its level is FULL.
func TestDurablyIsSyncedAndTheRestIsNot(t *testing.T) {
	const normal, full = 1, 2
	db := open(t, filepath.Join(t.TempDir(), "x.db"), first)
	err := db.Durably(t.Context(), func(tx *sql.Tx) error {
		if level := number(t, tx, "PRAGMA synchronous"); level != full {
			t.Errorf("level %d in Durably, want %d", level, full)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	db.Durably(cancelled, func(*sql.Tx) error { cancel(); return nil })
	if level := number(t, db.Write, "PRAGMA synchronous"); level != normal {
		t.Errorf("level %d after Durably, want %d", level, normal)
	}
}
