package bay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/store"
)

// # Transfer
//
// Files travel between a caller and any path of a session through a hidden
// context of the session: by URL on the caller's side, by the file tools on the
// session's, with the rights of the session's user. It ends with the session.

// transferDir is what stands for the hidden context in a session, for callers
// that want a directory.
const transferDir = "/tmp/file-transfer"

// transferID is the hidden context of a session.
func transferID(id agentbay.SessionID) agentbay.ContextID {
	sum := sha256.Sum256([]byte("transfer " + id))
	return agentbay.ContextID("SdkCtx-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:16])[:26]))
}

// hasTransfer reports whether a hidden context is that of a session in memory.
func (b *Bay) hasTransfer(id agentbay.ContextID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for live := range b.live {
		if transferID(live) == id {
			return true
		}
	}
	return false
}

func (c *caller) TransferContext(ctx context.Context, id agentbay.SessionID) (agentbay.ContextMount, error) {
	s, err := c.running(ctx, id)
	if err != nil {
		return agentbay.ContextMount{}, err
	}
	if err := c.mayKeep(); err != nil {
		return agentbay.ContextMount{}, err
	}
	x := newContext(c.key.ID, "transfer "+string(s.ID))
	x.ID, x.Hidden = transferID(s.ID), "transfer"
	if err := c.bay.Store.AddContext(ctx, x); err != nil && agentbay.CodeOf(err) != agentbay.Conflict {
		return agentbay.ContextMount{}, orInternal(err, "the transfer could not be prepared; try again")
	}
	if err := agentbay.Use(c, id).FS(ctx).MkdirAll(transferDir[1:]); err != nil {
		return agentbay.ContextMount{}, agentbay.Wrap(err, agentbay.CodeOf(err), "%s could not be made in the session", transferDir)
	}
	return agentbay.ContextMount{Context: x.ID, Path: transferDir, Name: x.Name, Policy: agentbay.DefaultSyncPolicy}, nil
}

// transferMove moves the file or directory at a path that no mount shows.
func (c *caller) transferMove(req agentbay.SyncRequest, key string) move {
	run := c.bringOut
	if req.Mode == agentbay.Download {
		run = c.bringIn
	}
	return move{req.Context, req.Path, func(ctx context.Context, t *task) error { return run(ctx, req, key, t) }}
}

// parties finds the session and the context of a request.
func (c *caller) parties(ctx context.Context, req agentbay.SyncRequest) (*session, store.Context, error) {
	s, err := c.running(ctx, req.Session)
	if err != nil {
		return nil, store.Context{}, err
	}
	x, err := c.context(ctx, req.Context)
	return s, x, err
}

// bringIn writes files of a context to where they say in the session.
//
// Of a directory, that is what has come into the context since the last time:
// files that went through it before may have been changed in the session.
func (c *caller) bringIn(ctx context.Context, req agentbay.SyncRequest, key string, t *task) error {
	s, x, err := c.parties(ctx, req)
	if err != nil {
		return err
	}
	root, release, err := c.bay.root(ctx, x)
	if err != nil {
		return err
	}
	defer release()
	repo := c.bay.Data.repo(x.KeyID)
	files, found := agentbay.Use(c, req.Session).FS(ctx), false
	for e, err := range repo.Entries(ctx, root, key) {
		if err != nil {
			return orInternal(err, "the files of context %s could not be read", x.ID)
		}
		if e.Kind != contexts.File {
			continue
		}
		found = true
		if e.Path != key && !s.isNews(e) {
			continue
		}
		if err := bringFileIn(ctx, repo, files, e, t); err != nil {
			return explainFile(err, e.Path)
		}
		t.progress.Files.Add(1)
		s.brought(e)
	}
	if !found {
		return agentbay.Errorf(agentbay.NotFound, "context %s has no file at %s; put it there first", x.ID, shorten(req.Path))
	}
	return nil
}

// maxBrought bounds what a session remembers of what came in.
const maxBrought = 10_000

// isNews reports whether the session never had a file as the context has it now.
func (s *session) isNews(e contexts.Entry) bool {
	s.newsMu.Lock()
	defer s.newsMu.Unlock()
	return !s.news[e.Path].Equal(e.Saved)
}

// brought remembers that the session has a file as the context has it.
func (s *session) brought(e contexts.Entry) {
	s.newsMu.Lock()
	defer s.newsMu.Unlock()
	if s.news == nil || len(s.news) >= maxBrought {
		s.news = map[string]time.Time{}
	}
	s.news[e.Path] = e.Saved
}

// bringFileIn writes a file beside its place and then moves it there, so that
// nobody sees a part of it.
func bringFileIn(ctx context.Context, repo *contexts.Repo, files *agentbay.FS, e contexts.Entry, t *task) (err error) {
	r, err := repo.Open(ctx, e)
	if err != nil {
		return err
	}
	defer r.Close()
	part := e.Path + ".part-" + strings.ToLower(rand.Text())
	defer func() {
		if err != nil {
			err = errors.Join(err, files.RemoveAll(part))
		}
	}()
	w, err := files.Create(part)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, counted{r, t})
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return files.Rename(part, e.Path)
}

// counted counts what is read as moved.
type counted struct {
	io.Reader
	t *task
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.t.progress.Bytes.Add(int64(n))
	return n, err
}

// explainFile says which file could not be moved.
func explainFile(err error, key string) error {
	if err == nil {
		return nil
	}
	code, why := agentbay.CodeOf(err), agentbay.MessageOf(err)
	var file *fs.PathError
	if errors.As(err, &file) {
		code, why = agentbay.Invalid, file.Err.Error()
	}
	return agentbay.Wrap(err, code, "%s could not be moved: %s", shorten(tree.Show(key)), shorten(why))
}

// bringOut keeps the file, or the files of the directory, that the session has
// at a path.
func (c *caller) bringOut(ctx context.Context, req agentbay.SyncRequest, key string, t *task) error {
	s, x, err := c.parties(ctx, req)
	if err != nil {
		return err
	}
	tenant := c.bay.Data.tenant(x.KeyID)
	back, err := turn(ctx, tenant.puts)
	if err != nil {
		return err
	}
	defer back()
	w, err := tenant.Writer(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	k := &keeper{files: agentbay.Use(c, req.Session).FS(ctx), w: w, task: t}
	if k.within, err = c.bay.within(ctx, x, k); err != nil {
		return err
	}
	found, err := k.keepAll(ctx, key)
	if err != nil {
		return explainFile(err, key)
	}
	_, err = c.bay.commit(ctx, w, edit{context: x.ID, reason: "session", session: req.Session, changes: c.bay.putAll(ctx, x, found)})
	if err != nil {
		return orInternal(err, "%s could not be kept; try again", shorten(req.Path))
	}
	for _, f := range found {
		s.brought(f) // the session has it
	}
	return nil
}

// within is r, but no more of it than the key may keep if all of the context is
// replaced, and than the host has room for.
func (b *Bay) within(ctx context.Context, x store.Context, r io.Reader) (io.Reader, error) {
	check := func() error { return b.HighWater.room(1, "files are refused") }
	if err := check(); err != nil {
		return nil, err
	}
	left, limit, err := b.storageLeft(ctx, x.KeyID)
	return &boundedReader{r: r, left: left + x.Bytes, limited: limit > 0, check: check}, err
}

// A keeper stores files of a session. It reads one after the other.
type keeper struct {
	files  *agentbay.FS
	w      *contexts.Writer
	task   *task
	file   io.Reader // that is being read
	within io.Reader // which reads the keeper, as far as all files may go
}

func (k *keeper) Read(p []byte) (int, error) { return k.file.Read(p) }

// maxKept is how many files of a session can be kept at once.
const maxKept = 100_000

// keepAll stores the files at and below a path.
func (k *keeper) keepAll(ctx context.Context, key string) (found []contexts.Entry, err error) {
	err = fs.WalkDir(k.files, cmpDot(key), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		if len(found) == maxKept {
			return agentbay.Errorf(agentbay.Exhausted, "there are more than %d files; mount the context, or move them in parts", maxKept)
		}
		e, err := k.keep(ctx, name)
		found = append(found, e)
		return err
	})
	slices.SortFunc(found, func(a, b contexts.Entry) int { return contexts.Compare(a.Path, b.Path) })
	return found, err
}

// keep stores a file.
func (k *keeper) keep(ctx context.Context, name string) (contexts.Entry, error) {
	f, err := k.files.Open(name)
	if err != nil {
		return contexts.Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return contexts.Entry{}, err
	}
	k.file = counted{f, k.task}
	extents, n, err := k.w.File(ctx, k.within, -1)
	k.task.progress.Files.Add(1)
	return contexts.Entry{
		Path: name, Kind: contexts.File, Mode: info.Mode().Perm(), Modified: info.ModTime(), Saved: time.Now(), Size: n, Extents: extents,
	}, err
}

// putAll is the change that makes entries, unless something is in their way.
func (b *Bay) putAll(ctx context.Context, x store.Context, entries []contexts.Entry) func(contexts.Root) iter.Seq2[contexts.Change, error] {
	repo := b.Data.repo(x.KeyID)
	return func(now contexts.Root) iter.Seq2[contexts.Change, error] {
		return func(yield func(contexts.Change, error) bool) {
			for _, e := range entries {
				if !yield(contexts.Change{Path: e.Path, Entry: e}, inTheWay(ctx, repo, now, e.Path)) {
					return
				}
			}
		}
	}
}

// cmpDot is a key as package io/fs names it.
func cmpDot(key string) string { return path.Clean("./" + key) }
