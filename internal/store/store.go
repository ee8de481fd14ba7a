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
	"embed"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/sqlite"
)

// Memory is the directory of a store that is kept in memory and lost when
// closed, for tests.
const Memory = sqlite.Memory

// fileName is the store's file in its directory, lockName the file whose lock
// the one server holds.
const (
	fileName = "bay.db"
	lockName = "lock"
)

// A Store is an open store. Its methods may be called concurrently.
type Store struct {
	db   *sqlite.DB
	lock io.Closer
}

// Open opens the store in dir, and makes both if they are missing.
//
// Conflict: the store was written by a newer release.
func Open(ctx context.Context, dir string) (*Store, error) {
	path := Memory
	if dir != Memory {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be made", dir)
		}
		path = filepath.Join(dir, fileName)
	}
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, path, scripts)
	if err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
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
	lock, err := own(ctx, dir)
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

// lockPatience is how long a server waits for the lock of one before it. What
// that was about to execute when it was killed has the lock a moment longer.
const lockPatience = 3 * time.Second

// own takes the directory's lock. The kernel gives it back when the process
// ends, however it ends.
func own(ctx context.Context, dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be locked", dir)
	}
	for deadline := time.Now().Add(lockPatience); ; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if ctx.Err() != nil || !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond) // flock with a deadline there is none
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, agentbay.Errorf(agentbay.Conflict, "another server is running on %s; stop it, or choose another data directory", dir)
	}
	return nil, agentbay.Wrap(err, agentbay.Internal, "data directory %s cannot be locked", dir)
}

// Close closes the store and lets go of its directory.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

//go:embed migrations/*.sql
var migrations embed.FS

// exec writes, and returns how many rows it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := s.db.Write.ExecContext(ctx, query, args...)
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
