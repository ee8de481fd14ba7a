// Package sqlite opens SQLite files the way this server keeps what it knows:
// one writer at a time, readers beside it, a schema that is brought up to date.
// What the tables mean is decided elsewhere.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	driver "modernc.org/sqlite" // named "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/agentbay/agentbay"
)

// Memory is the path of a database that is kept in memory and lost when closed,
// for tests.
const Memory = ":memory:"

// A DB is an open database. Its methods may be called concurrently.
type DB struct {
	Read  *sql.DB
	Write *sql.DB // one connection, so that writers queue here and not in SQLite
}

// Open opens the database at path, and makes it if it is missing. Migrations are
// SQL scripts named *.sql, numbered from 1 without gaps, which never change once
// released; those that the database has not seen are run. Its user_version is
// the number of the last one. Pragmas, such as "cache_size(-8000)", are set on
// each connection.
//
// Conflict: the database was written by a newer release.
// Exhausted: the disk is full.
func Open(ctx context.Context, path string, migrations fs.FS, pragmas ...string) (*DB, error) {
	db, err := connect(path, dsn(path, pragmas))
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "%s cannot be opened", path)
	}
	err = db.migrate(ctx, path, migrations)
	if err == nil {
		return db, nil
	}
	db.Close()
	if known := new(agentbay.Error); errors.As(err, &known) {
		return nil, err
	}
	if failure := new(driver.Error); errors.As(err, &failure) && failure.Code() == sqlite3.SQLITE_FULL {
		return nil, agentbay.Wrap(err, agentbay.Exhausted, "%s cannot be opened: its disk is full; free some of it", path)
	}
	return nil, agentbay.Wrap(err, agentbay.Internal, "%s cannot be opened", path)
}

// connect opens the connections: in memory a single one, which is the database.
func connect(path, dsn string) (*DB, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	if path == Memory {
		return &DB{Read: write, Write: write}, nil
	}
	read, err := sql.Open("sqlite", dsn)
	if err != nil {
		write.Close()
		return nil, err
	}
	read.SetMaxOpenConns(4)
	read.SetMaxIdleConns(4)
	return &DB{Read: read, Write: write}, nil
}

// private makes the file before SQLite would, because it may hold secrets.
// SQLite gives the files beside it the same mode. One that is there is not even
// opened: closing it would take the locks of a database that is open.
func private(path string) error {
	if path == Memory {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn names a database and how it is opened. synchronous is NORMAL: in WAL mode
// a killed process loses nothing, and a power cut, which ends every machine of
// this host anyway, may lose the last writes but never the file. What must
// survive that as well is written with [DB.Durably].
func dsn(path string, pragmas []string) string {
	q := url.Values{
		"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"}, pragmas...),
		"_txlock": {"immediate"},
	}
	name := "file:" + path
	if path != Memory {
		abs, _ := filepath.Abs(path)
		name = (&url.URL{Scheme: "file", Path: abs}).String()
	}
	return name + "?" + q.Encode()
}

// Close closes the database.
func (db *DB) Close() error {
	return errors.Join(db.Read.Close(), db.Write.Close())
}

func (db *DB) migrate(ctx context.Context, path string, migrations fs.FS) error {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	return db.Tx(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(files) {
			return agentbay.Errorf(agentbay.Conflict, "%s was written by a newer release (schema %d, this release knows %d); use that release", path, version, len(files))
		}
		for _, name := range files[version:] {
			if err := run(ctx, tx, migrations, name); err != nil {
				return agentbay.Wrap(err, agentbay.Internal, "%s cannot be brought up to date by %s", path, name)
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(files)))
		return err
	})
}

func run(ctx context.Context, tx *sql.Tx, migrations fs.FS, name string) error {
	script, err := fs.ReadFile(migrations, name)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, string(script))
	return err
}

// Tx does all of f's writes or none.
func (db *DB) Tx(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, db.Write, f)
}

// Durably is Tx; once it returns nil, what was written until then survives the
// loss of power.
func (db *DB) Durably(ctx context.Context, f func(*sql.Tx) error) error {
	conn, err := db.Write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = FULL"); err != nil {
		return err
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = NORMAL")
	return transact(ctx, conn, f)
}

// transact does all of f's writes to db, a *sql.DB or *sql.Conn, or none.
func transact(ctx context.Context, db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
