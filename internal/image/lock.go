package image

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked by another process")

// lock takes the flock on a file: shared or exclusive, and at once or after
// whoever has it. The lock ends when the returned file, and every process that
// inherited it, is closed or killed.
func lock(file string, how int) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		case !errors.Is(err, unix.EINTR):
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// lockWithin takes the exclusive flock on a file, or gives up when ctx is done.
// It calls waiting once if it has to wait.
func lockWithin(ctx context.Context, file string, waiting func()) (*os.File, error) {
	f, err := lock(file, unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, errLocked) {
		return f, err
	}
	waiting()
	retry := time.NewTicker(100 * time.Millisecond) // flock has no way to be woken by ctx
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-retry.C:
		}
		f, err := lock(file, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, errLocked) {
			return f, err
		}
	}
}
