package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/agentbay/agentbay"
)

// atOnce is how many files are moved at the same time.
const atOnce = 8

// several does one thing to each item, atOnce at the same time, until one fails
// or ctx is done.
func several[T any](ctx context.Context, items iter.Seq2[T, error], do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan T)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for item := range work {
				if err := do(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for item, err := range items {
		if err != nil {
			cancel(err)
		}
		select {
		case work <- item:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// A download copies files of a context below a local directory, and nowhere
// else: whoever filled the context chose their names.
type download struct {
	bay   getter
	id    agentbay.ContextID
	dir   string
	root  *os.Root
	tally *tally
}

// A getter gives files of contexts.
type getter interface {
	GetContextFile(ctx context.Context, id agentbay.ContextID, path string, w io.Writer, opts ...agentbay.TransferOption) error
}

func openDownload(bay getter, id agentbay.ContextID, dir string, p *tally) (*download, error) {
	dir = cmp.Or(dir, ".")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Denied, "%s cannot be made", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Denied, "%s cannot be opened", dir)
	}
	return &download{bay, id, dir, root, p}, nil
}

func (d *download) close() {
	d.tally.end()
	d.root.Close()
}

// get copies one file, directory or link.
func (d *download) get(ctx context.Context, f remoteFile) error {
	if f.file.Dir {
		return d.failure(f, d.root.MkdirAll(f.name, 0o777))
	}
	if err := d.root.MkdirAll(filepath.Dir(f.name), 0o777); err != nil {
		return d.failure(f, err)
	}
	if err := d.copy(ctx, f); err != nil {
		return d.failure(f, err)
	}
	d.tally.donef("%s as %s", f.file.Path, filepath.Join(d.dir, f.name))
	return nil
}

// copy copies one file or link.
func (d *download) copy(ctx context.Context, f remoteFile) error {
	if f.file.Link != "" {
		return d.link(f)
	}
	d.tally.expect(max(f.file.Size, 0))
	return d.save(ctx, f)
}

// failure says which file could not be copied.
func (d *download) failure(f remoteFile, err error) error {
	var local *fs.PathError
	if errors.As(err, &local) {
		return agentbay.Wrap(err, agentbay.Denied, "%s cannot be written", filepath.Join(d.dir, f.name))
	}
	return agentbay.Wrap(err, agentbay.CodeOf(err), "%s: %s", f.file.Path, agentbay.MessageOf(err))
}

// link makes a symbolic link, in the place of one that is there.
func (d *download) link(f remoteFile) error {
	err := d.root.Symlink(f.file.Link, f.name)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := d.root.Lstat(f.name); err != nil || info.Mode().Type() != fs.ModeSymlink {
		return errors.Join(err, fs.ErrExist)
	}
	return errors.Join(d.root.Remove(f.name), d.root.Symlink(f.file.Link, f.name))
}

// save makes a file, which appears, or is replaced, once all of it has come.
func (d *download) save(ctx context.Context, f remoteFile) (err error) {
	part := filepath.Join(filepath.Dir(f.name), ".part-"+rand.Text())
	w, err := d.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.Close() // the second time, if it was that which failed
			d.root.Remove(part)
		}
	}()
	if err := d.bay.GetContextFile(ctx, d.id, f.file.Path, w, d.tally.file()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if at := f.file.ModifiedAt; !at.IsZero() {
		if err := d.root.Chtimes(part, at, at); err != nil {
			return err
		}
	}
	return d.root.Rename(part, f.name)
}
