// Package dir keeps blobs as files below a directory of this host. Several
// processes may use one directory.
//
// A blob is one file in blobs, with '+' for each '/' of its name. In tmp are
// blobs that are being put: each file there is locked by who writes it, so that
// those that nobody writes any more can be told and removed.
package dir

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

const (
	blobs = "blobs"
	temp  = "tmp"
)

// A Store keeps blobs below a directory. Open makes one.
type Store struct {
	root  *os.Root
	blobs *os.File // the directory, to sync it
}

var _ blob.Store = (*Store)(nil)

// Open opens the store in a directory, which is made if it is not there, and
// removes what killed processes have left in it. The caller must close it.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, failure(err, "the blobs in %s cannot be opened", path)
	}
	if err := s.clean(); err != nil {
		s.Close()
		return nil, failure(err, "what is left of blobs in %s cannot be removed", path)
	}
	return s, nil
}

func open(path string) (*Store, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{blobs, temp} {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			root.Close()
			return nil, err
		}
	}
	if err := syncDir(root, "."); err != nil {
		root.Close()
		return nil, err
	}
	f, err := root.Open(blobs)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &Store{root: root, blobs: f}, nil
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Close closes the store. It must not be used any more.
func (s *Store) Close() error { return errors.Join(s.blobs.Close(), s.root.Close()) }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := blob.CheckPut(name, size); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.temp()
	if err != nil {
		return failure(err, "blob %s cannot be put", name)
	}
	defer f.Close() // and with it the lock, when the file has its place or is gone
	_, source := blob.Exact(ctx, r, size)
	err = s.place(f, source, size, name)
	broken := source.End()
	if err != nil {
		s.root.Remove(f.path)
		return cmp.Or(broken, failure(err, "blob %s cannot be put", name))
	}
	return nil
}

// place makes the blob in a file durable under its name.
func (s *Store) place(f *tempFile, r io.Reader, size int64, name string) error {
	if err := fill(f, r, size); err != nil {
		return err
	}
	if err := s.root.Rename(f.path, path(name)); err != nil {
		return err
	}
	return s.blobs.Sync()
}

// writeSize is how much is written at once. The file system takes more at once
// faster, as long as it fits into the processor's cache.
const writeSize = 256 << 10

// fill writes a whole blob into a file. Room for it is taken first, so that a
// full disk is told at once.
func fill(f *tempFile, r io.Reader, size int64) error {
	if err := reserve(f.File, size); err != nil {
		return err
	}
	buf := make([]byte, min(size, writeSize)+1)
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, r, buf); err != nil {
		return err
	}
	return f.Sync()
}

// reserve takes room for size bytes, where the file system can do so.
func reserve(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	err := uninterrupted(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// uninterrupted makes a system call until no signal comes in between.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	f, err := s.root.Open(path(name))
	if err != nil {
		return nil, notThere(err, name)
	}
	part, err := section(f, offset, n)
	if err != nil {
		f.Close()
		return nil, failure(err, "blob %s cannot be read", name)
	}
	return part, nil
}

// A reader reads a part of a file.
type reader struct {
	*io.SectionReader
	io.Closer
}

func section(f *os.File, offset, n int64) (io.ReadCloser, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	offset, n, err = blob.Part(info.Size(), offset, n)
	if err != nil {
		return nil, err
	}
	return reader{io.NewSectionReader(f, offset, n), f}, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, name); err != nil {
		return blob.Info{}, err
	}
	info, err := s.root.Lstat(path(name))
	if err != nil {
		return blob.Info{}, notThere(err, name)
	}
	return describe(name, info), nil
}

func describe(name string, info fs.FileInfo) blob.Info {
	return blob.Info{Name: name, Size: info.Size(), At: info.ModTime()}
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	err := s.root.Remove(path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return failure(err, "blob %s cannot be deleted", name)
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for name, err := range s.files(ctx, blobs) {
			if err != nil {
				yield(blob.Info{}, failure(err, "blobs cannot be listed"))
				return
			}
			info, ok, err := s.listed(name, prefix)
			if err != nil {
				yield(blob.Info{}, failure(err, "blobs cannot be listed"))
				return
			}
			if ok && !yield(info, nil) {
				return
			}
		}
	}
}

// listed describes the blob in a file, if it is one that was asked for and still
// there.
func (s *Store) listed(file, prefix string) (blob.Info, bool, error) {
	name := strings.ReplaceAll(file, "+", "/")
	if !strings.HasPrefix(name, prefix) || blob.CheckName(name) != nil {
		return blob.Info{}, false, nil
	}
	info, err := s.root.Lstat(path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return blob.Info{}, false, nil
	}
	if err != nil {
		return blob.Info{}, false, err
	}
	return describe(name, info), info.Mode().IsRegular(), nil
}

// files yields the names of the files in a directory, some at a time.
func (s *Store) files(ctx context.Context, dir string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		d, err := s.root.Open(dir)
		if err != nil {
			yield("", err)
			return
		}
		defer d.Close()
		for {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			names, err := d.Readdirnames(1024)
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}

// A tempFile is a file in tmp, locked by who writes it.
type tempFile struct {
	*os.File
	path string
}

// temp makes a locked file in tmp. Another process may take a new file for a
// leftover and remove it before it is locked; then it is made again.
func (s *Store) temp() (*tempFile, error) {
	for {
		path := temp + "/" + rand.Text()
		f, err := s.root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		kept, err := lock(f)
		if err != nil {
			s.root.Remove(path)
		}
		if kept {
			return &tempFile{f, path}, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// lock locks a file, and reports whether it still has a name.
func lock(f *os.File) (bool, error) {
	if err := uninterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }); err != nil {
		return false, err
	}
	var stat unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &stat)
	return stat.Nlink > 0, err
}

// clean removes the files in tmp that nobody writes.
func (s *Store) clean() error {
	for name, err := range s.files(context.Background(), temp) {
		if err != nil {
			return err
		}
		if err := s.cleanOne(temp + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *Store) cleanOne(path string) error {
	f, err := s.root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.root.Remove(path)
}

// path is where a blob's file is.
func path(name string) string { return blobs + "/" + strings.ReplaceAll(name, "/", "+") }

func check(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// notThere is why a blob cannot be found.
func notThere(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return agentbay.Wrap(err, agentbay.NotFound, "there is no blob %s", name)
	}
	return failure(err, "blob %s cannot be read", name)
}

// failure is what a caller can do about what a disk says. Any other error is
// passed on.
func failure(err error, format string, args ...any) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	what := fmt.Sprintf(format, args...)
	if slices.Contains(full, errno) {
		return agentbay.Wrap(err, agentbay.Exhausted, "%s: the disk is full; delete what is not needed, or add room", what)
	}
	return agentbay.Wrap(err, agentbay.Unavailable, "%s; try again, and if that does not help, look at the disk and at the rights of the directory", what)
}

// full is what a disk says that has no room.
var full = []syscall.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG}
