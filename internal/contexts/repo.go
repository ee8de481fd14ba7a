package contexts

import (
	"context"
	"io"
	"iter"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// A Repo is the data of one tenant. Its methods may be called concurrently.
type Repo struct {
	tenant string
	blobs  blob.Store
	index  Index
}

// New opens the data of a tenant. There must be one Repo of a tenant at a time:
// it is what keeps [Repo.Collect] from removing what is being written.
// The tenant becomes part of the blobs' names.
func New(tenant string, blobs blob.Store, index Index) *Repo {
	return &Repo{tenant: tenant, blobs: blobs, index: index}
}

var errSoon = agentbay.Errorf(agentbay.Unavailable, "not there yet")

// Hold keeps everything that is stored until release is called. Take it before
// asking which root is current, and nothing of that root goes meanwhile. A
// collection that runs gives way.
func (r *Repo) Hold(ctx context.Context) (release func(), err error) { return func() {}, nil }

// Writer begins to store. Until it is closed nothing is collected.
func (r *Repo) Writer(ctx context.Context) (*Writer, error) { return nil, errSoon }

// A Writer stores chunks. Its methods may be called concurrently. Once one has
// failed, all do.
type Writer struct{}

// File stores the content of a file, at most size bytes of it, or all if size
// is negative. It returns the content's extents and how long it is. An *os.File
// is asked for its holes.
//
// What File returned may be referred to once Flush or Apply has returned nil.
func (w *Writer) File(ctx context.Context, f io.Reader, size int64) ([]Extent, int64, error) {
	return nil, 0, errSoon
}

// Flush returns when everything that was added is durable and in the index.
func (w *Writer) Flush(ctx context.Context) error { return errSoon }

// Close lets go. What was not flushed is dropped. Call it after the new root
// has been committed: from then on what no root needs may be collected.
func (w *Writer) Close() error { return nil }

// Apply makes a manifest of root and changes, which come in the order of
// [Compare], a Remove before what is put at or below its path. A file or link
// that is put takes the place of a directory with all that is below it, and
// something that is put below a file takes the place of that file. All that w
// was given is flushed first.
func (r *Repo) Apply(ctx context.Context, w *Writer, root Root, changes iter.Seq2[Change, error]) (Root, Totals, error) {
	return Root{}, Totals{}, errSoon
}

// Entries yields the entry at prefix, if there is one, and all below it, in the
// order of [Compare]. The prefix "" is everything.
func (r *Repo) Entries(ctx context.Context, root Root, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { yield(Entry{}, errSoon) }
}

// Lookup returns the entry at path. A directory that has no entry of its own is
// found as well, with mode 0755 and the times of the first entry in it; so is
// the path "".
//
// NotFound: there is nothing at path.
func (r *Repo) Lookup(ctx context.Context, root Root, path string) (Entry, error) {
	return Entry{}, errSoon
}

// Children lists what is directly in dir: the entries from number skip on, at
// most limit, and how many there are in all. Directories without an entry of
// their own are listed as [Repo.Lookup] finds them. What is not there, or not a
// directory, is empty.
func (r *Repo) Children(ctx context.Context, root Root, dir string, skip, limit int) ([]Entry, int, error) {
	return nil, 0, errSoon
}

// Diff yields what makes from to to, at and below prefix, as [Repo.Apply] takes
// it. It costs what differs. What is gone is removed once, by the topmost
// directory that is gone, whether that had an entry or not.
func (r *Repo) Diff(ctx context.Context, from, to Root, prefix string) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) { yield(Change{}, errSoon) }
}

// Totals returns how much is in root.
func (r *Repo) Totals(ctx context.Context, root Root) (Totals, error) { return Totals{}, errSoon }

// Open returns the content of a file. Nothing is read before it is asked for.
// While a Reader is open nothing is collected; it must be closed.
func (r *Repo) Open(ctx context.Context, e Entry) (*Reader, error) { return nil, errSoon }

// A Reader reads the content of a file, every byte of it checked against its
// hash. It is not for concurrent use.
//
// Internal: content is damaged or missing; the message names the path.
type Reader struct{ io.ReadSeekCloser }

// Size returns the length of the content.
func (f *Reader) Size() int64 { return 0 }

// Contents yields entries as they come, the files among them with their content.
// It looks ahead, so that many small files cost few reads; use it rather than
// Open for more than a few. The consumer closes every File it gets.
func (r *Repo) Contents(ctx context.Context, entries iter.Seq2[Entry, error]) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) { yield(Content{}, errSoon) }
}

// A Content is an entry with what is in it.
type Content struct {
	Entry
	File *Reader // nil unless Kind is File
}

// Collect removes what none of the roots needs: chunks, packs that are left
// empty, and blobs that were never finished. Packs that are mostly garbage, and
// small ones, are written anew. It may be killed at any time; the next one goes
// on. When something else begins to use the Repo, Collect gives way.
//
// Conflict: the Repo is in use; try again later.
// Internal: a root cannot be read; nothing was removed.
func (r *Repo) Collect(ctx context.Context, roots iter.Seq2[Root, error]) (Collected, error) {
	return Collected{}, errSoon
}

// Collected is what a collection did.
type Collected struct {
	Packs     int   // blobs removed
	Freed     int64 // bytes of them, less what was written anew
	Rewritten int   // packs written anew
	Damaged   int   // packs that could not be written anew because they are damaged
	Bytes     int64 // of blobs, now
}

// Verify reads everything in root and yields the paths that are damaged, each
// with the reason. A damaged page is yielded by the first path in it.
func (r *Repo) Verify(ctx context.Context, root Root) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", errSoon) }
}
