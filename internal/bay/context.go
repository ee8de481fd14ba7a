package bay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/store"
)

// mayKeep refuses who was let in for one session only, and everybody in a bay
// without contexts.
func (c *caller) mayKeep() error {
	if c.bay.Data == nil {
		return errNoData
	}
	return c.mayCreate()
}

// context returns a context of the caller, with all that clients have put there.
func (c *caller) context(ctx context.Context, id agentbay.ContextID) (store.Context, error) {
	x, err := c.ownContext(ctx, id)
	if err != nil {
		return x, err
	}
	if err := c.bay.takeIn(ctx, x); err != nil {
		return x, err
	}
	return c.ownContext(ctx, id)
}

// ownContext returns a context of the caller as it is recorded.
func (c *caller) ownContext(ctx context.Context, id agentbay.ContextID) (store.Context, error) {
	if err := c.mayKeep(); err != nil {
		return store.Context{}, err
	}
	x, err := c.bay.Store.Context(ctx, id)
	switch {
	case agentbay.CodeOf(err) == agentbay.NotFound, err == nil && x.KeyID != c.key.ID:
		return x, noContext(id)
	case err != nil:
		return x, agentbay.Wrap(err, agentbay.Internal, "context %s could not be looked up", shorten(string(id)))
	}
	return x, nil
}

func noContext(id agentbay.ContextID) error {
	return agentbay.Errorf(agentbay.NotFound, "context %s not found", shorten(string(id)))
}

func (c *caller) CreateContext(ctx context.Context, name string) (info *agentbay.ContextInfo, err error) {
	began := time.Now()
	defer func() { c.log(ctx, "create context", began, err, "name", shorten(name)) }()
	if err := c.mayKeep(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	x := newContext(c.key.ID, name)
	if err := c.bay.Store.AddContext(ctx, x); err != nil {
		return nil, orInternal(err, "context %q could not be recorded", name)
	}
	return &x.ContextInfo, nil
}

func newContext(keyID, name string) store.Context {
	now := time.Now()
	return store.Context{
		KeyID:       keyID,
		ContextInfo: agentbay.ContextInfo{ID: agentbay.ContextID(gate.NewContextID()), Name: name, State: agentbay.ContextAvailable, CreatedAt: now, UsedAt: now},
	}
}

// orInternal gives err a message if it has none for the caller.
func orInternal(err error, format string, args ...any) error {
	if err == nil || agentbay.CodeOf(err) != agentbay.Internal {
		return err
	}
	return agentbay.Wrap(err, agentbay.Internal, format, args...)
}

const maxName = 255 // bytes

func checkName(name string) error {
	switch {
	case name == "":
		return agentbay.Errorf(agentbay.Invalid, "a context's name must not be empty")
	case len(name) > maxName:
		return agentbay.Errorf(agentbay.Invalid, "a context's name can have %d bytes, not %d", maxName, len(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return agentbay.Errorf(agentbay.Invalid, "a context's name must be UTF-8 text without control characters")
	}
	return nil
}

func (c *caller) Context(ctx context.Context, id agentbay.ContextID) (*agentbay.ContextInfo, error) {
	x, err := c.context(ctx, id)
	if err != nil {
		return nil, err
	}
	return &x.ContextInfo, nil
}

func (c *caller) ContextNamed(ctx context.Context, name string, create bool) (*agentbay.ContextInfo, error) {
	if err := c.mayKeep(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	x, err := c.bay.Store.ContextNamed(ctx, c.key.ID, name)
	if agentbay.CodeOf(err) != agentbay.NotFound {
		return &x.ContextInfo, orInternal(err, "context %q could not be looked up", name)
	}
	if !create {
		return nil, agentbay.Errorf(agentbay.NotFound, "context %q not found; create it, or see what there is with a listing", name)
	}
	info, err := c.CreateContext(ctx, name)
	if agentbay.CodeOf(err) == agentbay.Conflict { // somebody else was faster
		return c.ContextNamed(ctx, name, false)
	}
	return info, err
}

func (c *caller) Contexts(ctx context.Context, q agentbay.ContextQuery) (*agentbay.ContextPage, error) {
	if err := c.mayKeep(); err != nil {
		return nil, err
	}
	if q.Limit < 0 {
		return nil, agentbay.Errorf(agentbay.Invalid, "a page cannot have %d contexts", q.Limit)
	}
	page, err := c.bay.Store.Contexts(ctx, c.key.ID, q)
	return page, orInternal(err, "the contexts could not be listed")
}

func (c *caller) RenameContext(ctx context.Context, id agentbay.ContextID, name string) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "rename context", began, err, "context", shorten(string(id))) }()
	if err := checkName(name); err != nil {
		return err
	}
	if _, err := c.ownContext(ctx, id); err != nil {
		return err
	}
	return orInternal(c.bay.Store.RenameContext(ctx, id, name), "context %s could not be renamed", id)
}

func (c *caller) DeleteContext(ctx context.Context, id agentbay.ContextID) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "delete context", began, err, "context", shorten(string(id))) }()
	if _, err := c.ownContext(ctx, id); err != nil {
		return err
	}
	err = orInternal(c.bay.Store.DeleteContext(ctx, id), "context %s could not be deleted", id)
	c.bay.wantCollect()
	return err
}

func (c *caller) ClearContext(ctx context.Context, id agentbay.ContextID) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "clear context", began, err, "context", shorten(string(id))) }()
	if _, err := c.context(ctx, id); err != nil {
		return err
	}
	if err := c.bay.join(); err != nil {
		return err
	}
	defer c.bay.inFlight.Done()
	if err := c.bay.Store.SetContextState(ctx, id, agentbay.ContextClearing); err != nil {
		return orInternal(err, "context %s could not be cleared", id)
	}
	c.bay.background.Go(func() { c.bay.clearContext(id) })
	return nil
}

// clearContext removes all files of a context that is Clearing, however often
// that must be tried. What is cut short is done by the next start.
func (b *Bay) clearContext(id agentbay.ContextID) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := b.cleared(id)
		if err == nil || agentbay.CodeOf(err) == agentbay.NotFound || b.ctx.Err() != nil {
			return
		}
		b.Log.Error("context could not be cleared; it is tried again", "context", id, "err", gate.Scrub(err.Error()))
		select {
		case <-time.After(pause):
		case <-b.ctx.Done():
		}
	}
}

// cleared is one try of clearContext.
func (b *Bay) cleared(id agentbay.ContextID) error {
	x, err := b.Store.Context(b.ctx, id)
	if err != nil {
		return err
	}
	nothing := func(now contexts.Root) iter.Seq2[contexts.Change, error] {
		return b.Data.repo(x.KeyID).Diff(b.ctx, now, contexts.Root{}, "")
	}
	if err := b.change(b.ctx, x, edit{reason: "clear", changes: nothing}); err != nil {
		return err
	}
	return b.Store.SetContextState(b.ctx, id, agentbay.ContextAvailable)
}

// file finds what a context has at a path of the caller's.
func (b *Bay) file(ctx context.Context, x store.Context, name string) (contexts.Entry, error) {
	key, err := tree.Key(name)
	if err != nil {
		return contexts.Entry{}, err
	}
	root, release, err := b.root(ctx, x)
	if err != nil {
		return contexts.Entry{}, err
	}
	defer release()
	e, err := b.Data.repo(x.KeyID).Lookup(ctx, root, key)
	if agentbay.CodeOf(err) == agentbay.NotFound {
		return e, agentbay.Errorf(agentbay.NotFound, "file %s not found in context %s", shorten(name), x.ID)
	}
	return e, orInternal(err, "the files of context %s could not be read", x.ID)
}

const (
	defaultFiles = 50
	maxFiles     = 10_000
)

func (c *caller) ContextFiles(ctx context.Context, id agentbay.ContextID, dir string, skip, limit int) (*agentbay.ContextFilePage, error) {
	x, err := c.context(ctx, id)
	if err != nil {
		return nil, err
	}
	if skip < 0 || limit < 0 || limit > maxFiles {
		return nil, agentbay.Errorf(agentbay.Invalid, "a page has between 1 and %d files and begins at 0 or later, not %d at %d", maxFiles, limit, skip)
	}
	if limit == 0 {
		limit = defaultFiles
	}
	key, err := tree.Key(dir)
	if err != nil {
		return nil, err
	}
	root, release, err := c.bay.root(ctx, x)
	if err != nil {
		return nil, err
	}
	defer release()
	list, total, err := c.bay.Data.repo(x.KeyID).Children(ctx, root, key, skip, limit)
	if err != nil {
		return nil, orInternal(err, "the files of context %s could not be listed", id)
	}
	page := &agentbay.ContextFilePage{Total: total}
	for _, e := range list {
		page.Files = append(page.Files, contextFile(id, e))
	}
	return page, nil
}

// contextFile is an entry as callers see it.
func contextFile(id agentbay.ContextID, e contexts.Entry) agentbay.ContextFile {
	name := sha256.Sum256([]byte(string(id) + "\x00" + e.Path))
	return agentbay.ContextFile{
		ID: "file-" + hex.EncodeToString(name[:12]), Name: path.Base(e.Path), Path: tree.Show(e.Path), Dir: e.Kind == contexts.Dir,
		Link: e.Target, Size: e.Size, SavedAt: e.Saved, ModifiedAt: e.Modified,
	}
}

// urlLife is how long a file's URL is good for.
const urlLife = time.Hour

func (c *caller) UploadURL(ctx context.Context, id agentbay.ContextID, name string) (agentbay.FileURL, error) {
	x, err := c.ownContext(ctx, id)
	if err != nil {
		return agentbay.FileURL{}, err
	}
	key, err := tree.Key(name)
	if err != nil {
		return agentbay.FileURL{}, err
	}
	if key == "" {
		return agentbay.FileURL{}, agentbay.Errorf(agentbay.Invalid, "a file needs a name; / has none")
	}
	return c.bay.uploadURL(ctx, x, key)
}

func (c *caller) DownloadURL(ctx context.Context, id agentbay.ContextID, name string) (agentbay.FileURL, error) {
	x, err := c.context(ctx, id)
	if err != nil {
		return agentbay.FileURL{}, err
	}
	e, err := c.bay.file(ctx, x, name)
	switch {
	case err != nil:
		return agentbay.FileURL{}, err
	case e.Kind == contexts.Dir:
		return agentbay.FileURL{}, agentbay.Errorf(agentbay.Invalid, "%s is a directory; ask for its files one by one", shorten(name))
	case e.Kind == contexts.Symlink:
		return agentbay.FileURL{}, agentbay.Errorf(agentbay.Invalid, "%s is a symbolic link to %s; ask for that", shorten(name), shorten(e.Target))
	}
	return c.bay.downloadURL(ctx, x, e), nil
}

func (b *Bay) fileURL(id agentbay.ContextID, key string, write bool) agentbay.FileURL {
	expires := time.Now().Add(urlLife)
	return agentbay.FileURL{
		URL:     gate.FilePath(b.Secret, gate.FileTicket{Context: string(id), Path: key, Write: write, Expires: expires}),
		Expires: expires,
	}
}

func (c *caller) DeleteContextFile(ctx context.Context, id agentbay.ContextID, name string) (err error) {
	began := time.Now()
	defer func() { c.log(ctx, "delete context file", began, err, "context", shorten(string(id))) }()
	x, err := c.context(ctx, id)
	if err != nil {
		return err
	}
	e, err := c.bay.file(ctx, x, name)
	if err != nil {
		return err
	}
	return c.edit(ctx, x, "delete", only(contexts.Change{Path: e.Path, Remove: true}))
}

// edit changes a context of the caller.
func (c *caller) edit(ctx context.Context, x store.Context, reason string, changes func(contexts.Root) iter.Seq2[contexts.Change, error]) error {
	if err := c.bay.join(); err != nil {
		return err
	}
	defer c.bay.inFlight.Done()
	err := c.bay.change(ctx, x, edit{reason: reason, changes: changes})
	return orInternal(err, "context %s could not be changed; it is as it was", x.ID)
}

func (c *caller) Snapshots(ctx context.Context, id agentbay.ContextID) ([]agentbay.Snapshot, error) {
	if _, err := c.context(ctx, id); err != nil {
		return nil, err
	}
	list, err := c.bay.Store.Snapshots(ctx, id)
	if err != nil {
		return nil, orInternal(err, "the history of context %s could not be read", id)
	}
	kept := make([]agentbay.Snapshot, len(list))
	for i, s := range list {
		kept[i] = s.Snapshot
	}
	return kept, nil
}

func (c *caller) RestoreContext(ctx context.Context, id agentbay.ContextID, snapshot string) (err error) {
	began := time.Now()
	defer func() {
		c.log(ctx, "restore context", began, err, "context", shorten(string(id)), "snapshot", shorten(snapshot))
	}()
	x, err := c.context(ctx, id)
	if err != nil {
		return err
	}
	repo := c.bay.Data.repo(x.KeyID)
	release, err := repo.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	s, err := c.bay.Store.Snapshot(ctx, id, snapshot)
	if err != nil {
		return orInternal(err, "snapshot %s could not be looked up", shorten(snapshot))
	}
	to, err := contexts.ParseRoot(s.Root)
	if err != nil {
		return err
	}
	return c.edit(ctx, x, "restore", func(now contexts.Root) iter.Seq2[contexts.Change, error] {
		return repo.Diff(ctx, now, to, "")
	})
}

// OpenContextFile opens a file of a context for who shows a ticket for it. The
// caller closes it.
//
// NotFound: the context or the file is gone.
func (b *Bay) OpenContextFile(ctx context.Context, id agentbay.ContextID, name string) (io.ReadSeekCloser, agentbay.ContextFile, error) {
	if isCapture(id) {
		return b.openCapture(id, name)
	}
	x, err := b.keptContext(ctx, id)
	if err == nil {
		err = b.takeIn(ctx, x)
	}
	if err != nil {
		return nil, agentbay.ContextFile{}, err
	}
	e, err := b.file(ctx, x, name)
	if err != nil {
		return nil, agentbay.ContextFile{}, err
	}
	if e.Kind != contexts.File {
		return nil, agentbay.ContextFile{}, agentbay.Errorf(agentbay.Invalid, "%s is no file", shorten(name))
	}
	r, err := b.Data.repo(x.KeyID).Open(ctx, e)
	if err != nil {
		return nil, agentbay.ContextFile{}, orInternal(err, "%s could not be read", shorten(name))
	}
	return tagged{r, etagOf(e)}, contextFile(id, e), nil
}

// A tagged reader knows the name of its content.
type tagged struct {
	*contexts.Reader
	etag string
}

// ETag is what [Bay.PutContextFile] called the content.
func (t tagged) ETag() string { return t.etag }

// keptContext is a context that may still be reached without its key.
func (b *Bay) keptContext(ctx context.Context, id agentbay.ContextID) (store.Context, error) {
	if b.Data == nil {
		return store.Context{}, errNoData
	}
	x, err := b.Store.Context(ctx, id)
	if err != nil {
		return x, noContext(id)
	}
	k, err := b.Store.Key(ctx, x.KeyID)
	if err != nil || k.Disabled {
		return x, agentbay.Errorf(agentbay.Denied, "the API key of context %s is disabled or deleted", id)
	}
	return x, nil
}

// PutContextFile makes size bytes of body a file of a context, for who shows a
// ticket for it; a negative size means up to the end. What is cut short changes
// nothing. The etag names the content.
//
// Conflict: a directory is in the way, or a file where a directory must be.
// Exhausted: the quota or the host is full.
func (b *Bay) PutContextFile(ctx context.Context, id agentbay.ContextID, name string, body io.Reader, size int64) (etag string, err error) {
	began := time.Now()
	defer func() { b.logPut(ctx, id, began, err) }()
	if err := b.join(); err != nil {
		return "", err
	}
	defer b.inFlight.Done()
	x, err := b.keptContext(ctx, id)
	if err == nil {
		err = b.takeIn(ctx, x)
	}
	if err != nil {
		return "", err
	}
	key, err := tree.Key(name)
	if err != nil {
		return "", err
	}
	e, err := b.putFile(ctx, x, key, body, size)
	return etagOf(e), orInternal(err, "the file could not be kept; try again")
}

// putFile is PutContextFile for a context that may be written to.
func (b *Bay) putFile(ctx context.Context, x store.Context, key string, body io.Reader, size int64) (e contexts.Entry, err error) {
	if body, err = b.bounded(ctx, x, key, body, size); err != nil {
		return e, err
	}
	tenant := b.Data.tenant(x.KeyID)
	back, err := turn(ctx, tenant.puts)
	if err != nil {
		return e, err
	}
	defer back()
	w, err := tenant.Writer(ctx)
	if err != nil {
		return e, err
	}
	defer w.Close()
	extents, n, err := w.File(ctx, body, size)
	switch {
	case err != nil:
		return e, err
	case size >= 0 && n != size:
		return e, agentbay.Errorf(agentbay.Invalid, "%d bytes came, and %d were announced; send the file again", n, size)
	}
	now, adds := time.Now(), new(bool)
	e = contexts.Entry{Path: key, Kind: contexts.File, Mode: 0o644, Modified: now, Saved: now, Outside: true, Size: n, Extents: extents}
	_, err = b.commit(ctx, w, edit{context: x.ID, reason: "put", changes: b.put(ctx, x, e, adds), adds: adds})
	return e, err
}

// put is the change that makes an entry, unless something is in its way. It sets
// adds if there was none.
func (b *Bay) put(ctx context.Context, x store.Context, e contexts.Entry, adds *bool) func(contexts.Root) iter.Seq2[contexts.Change, error] {
	return func(now contexts.Root) iter.Seq2[contexts.Change, error] {
		_, err := b.Data.repo(x.KeyID).Lookup(ctx, now, e.Path)
		*adds = agentbay.CodeOf(err) == agentbay.NotFound
		return b.putAll(ctx, x, []contexts.Entry{e})(now)
	}
}

// inTheWay is Conflict if no file can be at a path.
func inTheWay(ctx context.Context, repo *contexts.Repo, root contexts.Root, key string) error {
	for at := key; at != "." && at != ""; at = path.Dir(at) {
		e, err := repo.Lookup(ctx, root, at)
		switch {
		case agentbay.CodeOf(err) == agentbay.NotFound:
		case err != nil:
			return err
		case at == key && e.Kind == contexts.Dir:
			return agentbay.Errorf(agentbay.Conflict, "%s is a directory; delete it first, or choose another name", tree.Show(at))
		case at != key && e.Kind != contexts.Dir:
			return agentbay.Errorf(agentbay.Conflict, "%s is a file, so nothing can be below it; delete it first, or choose another name", tree.Show(at))
		}
	}
	return nil
}

// etagOf names the content of a file.
func etagOf(e contexts.Entry) string {
	h := sha256.New()
	for _, x := range e.Extents {
		fmt.Fprintf(h, "%s %d\n", x.Chunk, x.Size)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (b *Bay) logPut(ctx context.Context, id agentbay.ContextID, began time.Time, err error) {
	c := caller{bay: b}
	c.log(ctx, "put context file", began, err, "context", shorten(string(id)))
}

// bounded is body, but no more of it than the key may keep and the host has
// room for.
func (b *Bay) bounded(ctx context.Context, x store.Context, key string, body io.Reader, size int64) (io.Reader, error) {
	if err := b.HighWater.room(1, "files are refused"); err != nil {
		return nil, err
	}
	left, limit, err := b.storageLeft(ctx, x.KeyID)
	if err != nil {
		return nil, err
	}
	if e, err := b.file(ctx, x, tree.Show(key)); err == nil {
		left += e.Size // it is replaced
	}
	r := &boundedReader{r: body, left: left, limited: limit > 0, check: func() error { return b.HighWater.room(1, "files are refused") }}
	if r.limited && size > left {
		return nil, r.full()
	}
	return r, nil
}

// A boundedReader ends with an error where a quota or the host is full.
type boundedReader struct {
	r       io.Reader
	left    int64
	limited bool
	read    int64        // since the last check
	check   func() error // whether the host has room
}

// errQuota marks what is beyond what a key may keep.
var errQuota = errors.New("beyond the quota")

// checkEvery is how many bytes may come between two looks at the host.
const checkEvery = 64 << 20

func (b *boundedReader) full() error {
	return agentbay.Wrap(errQuota, agentbay.Exhausted, "the file is larger than what this API key may still keep (%s); delete files or contexts, or have the limit raised",
		size(max(b.left, 0)))
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	b.read += int64(n)
	if b.limited && b.left < 0 {
		b.left = 0
		return 0, b.full()
	}
	if b.read >= checkEvery {
		b.read = 0
		if err := b.check(); err != nil {
			return 0, err
		}
	}
	return n, err
}
