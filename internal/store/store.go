// Package store keeps what a bay must remember: its API keys, its sessions and
// its contexts, the files of which are elsewhere.
// It is SQL on SQLite and holds no rule; what a row means is decided in package
// bay.
//
// A store is one file in a data directory. One server at a time owns the
// directory ([Serve]); command lines may open the same store beside it ([Open]),
// and what one process writes, the others see at once.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver named "sqlite"

	"github.com/agentbay/agentbay"
)

// Memory is the directory of a store that is kept in memory and lost when
// closed, for tests.
const Memory = ":memory:"

// fileName is the store's file in its directory, lockName the file whose lock
// the one server holds.
const (
	fileName = "bay.db"
	lockName = "lock"
)

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	read  *sql.DB
	write *sql.DB // one connection, so that writers queue here and not in SQLite
	lock  io.Closer
}

// Open opens the store in dir, and makes both if they are missing.
//
// Conflict: the store was written by a newer release.
func Open(ctx context.Context, dir string) (*Store, error) {
	if dir == Memory {
		return openMemory(ctx)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be made", dir)
	}
	return openFile(ctx, filepath.Join(dir, fileName))
}

// Serve opens the store in dir for the one server of that directory, until
// Close.
//
// Conflict: another server has it.
func Serve(ctx context.Context, dir string) (*Store, error) {
	if dir == Memory {
		return Open(ctx, dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be made", dir)
	}
	lock, err := own(dir)
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, dir)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

// own takes the directory's lock. The kernel gives it back when the process
// ends, however it ends.
func own(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be locked", dir)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, agentbay.Errorf(agentbay.Conflict, "another server is running on %s; stop it, or choose another data directory", dir)
	}
	return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be locked", dir)
}

// openMemory opens a store of one connection, which is the database.
func openMemory(ctx context.Context) (*Store, error) {
	db, err := sql.Open("sqlite", dsn(Memory))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return ready(ctx, &Store{read: db, write: db})
}

func openFile(ctx context.Context, path string) (*Store, error) {
	if err := private(path); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "store %s cannot be made", path)
	}
	s := new(Store)
	var err error
	if s.write, err = sql.Open("sqlite", dsn(path)); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(path)); err != nil {
		s.write.Close()
		return nil, err
	}
	s.read.SetMaxOpenConns(4)
	s.read.SetMaxIdleConns(4)
	return ready(ctx, s)
}

// private makes the file before SQLite would, because it holds secrets. SQLite
// gives the files beside it the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn names a database and how it is opened. synchronous is NORMAL: in WAL mode
// a killed process loses nothing, and a power cut, which ends every machine of
// this host anyway, may lose the last writes but never the file. The next start
// then sweeps what the store does not know. What must survive that as well is
// written with [Store.durably].
func dsn(path string) string {
	q := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	name := "file:" + path
	if path != Memory {
		abs, _ := filepath.Abs(path)
		name = (&url.URL{Scheme: "file", Path: abs}).String()
	}
	return name + "?" + q.Encode()
}

// ready brings the schema up to date, or closes s.
func ready(ctx context.Context, s *Store) (*Store, error) {
	err := s.migrate(ctx)
	if err == nil {
		return s, nil
	}
	s.Close()
	if known := new(agentbay.Error); errors.As(err, &known) {
		return nil, err
	}
	return nil, agentbay.Wrap(err, agentbay.Internal, "the store cannot be opened")
}

// Close closes the store and lets go of its directory.
func (s *Store) Close() error {
	err := errors.Join(s.read.Close(), s.write.Close())
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrate runs the migrations the store has not seen. Each is one file, numbered
// from 1 without gaps, and never changes once released; the store's user_version
// is the number of the last one.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	return s.tx(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(files) {
			return agentbay.Errorf(agentbay.Conflict, "the store was written by a newer release (schema %d, this release knows %d); use that release", version, len(files))
		}
		for _, name := range files[version:] {
			if err := run(ctx, tx, name); err != nil {
				return agentbay.Wrap(err, agentbay.Internal, "the store cannot be brought up to date by %s", filepath.Base(name))
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(files)))
		return err
	})
}

func run(ctx context.Context, tx *sql.Tx, name string) error {
	script, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, string(script))
	return err
}

// tx does all of f's writes or none.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	return transact(ctx, s.write, f)
}

// durably is tx; once it returns nil, what was written until then survives the
// loss of power.
func (s *Store) durably(ctx context.Context, f func(*sql.Tx) error) error {
	conn, err := s.write.Conn(ctx)
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

// exec writes, and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := s.write.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// nanos and moment turn times into what a row holds, and back.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
