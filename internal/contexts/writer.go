package contexts

import (
	"context"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/agentbay/agentbay"
)

// What a Writer holds in memory: chunks that wait for others to be looked up
// together with, per worker; and packs, one that grows and one per worker.
const (
	batchChunks = 1024
	batchBytes  = 4 << 20
)

// Writer begins to store. Until it is closed nothing is collected.
func (r *Repo) Writer(ctx context.Context) (*Writer, error) {
	if err := r.gate.enter(ctx); err != nil {
		return nil, err
	}
	workers := max(2, min(runtime.GOMAXPROCS(0), 4))
	ctx, stop := context.WithCancel(ctx)
	return &Writer{
		repo: r, ctx: ctx, stop: stop,
		hashing: make(chan struct{}, workers),
		storing: make(chan struct{}, workers+1), // some of which wait for the disk
		fresh:   map[ID]bool{},
		packer:  new(packer),
	}, nil
}

// A Writer stores chunks. Its methods may be called concurrently. Once one has
// failed, all do.
//
// It uses memory for some packs, whatever it is given: about 100 MB on two cores.
type Writer struct {
	repo    *Repo
	ctx     context.Context // of what is done in the background, until Close
	stop    context.CancelFunc
	hashing chan struct{} // has room for those who hash parts of large files
	storing chan struct{} // has room for those who look up, compress and put
	closed  sync.Once

	idleMu sync.Mutex // held by who waits for all of storing

	mu    sync.Mutex
	fresh map[ID]bool // chunks that are not in the index yet; guarded by mu
	batch []piece     // those of them that were not looked up yet; guarded by mu
	bytes int         // of the batch; guarded by mu
	err   error       // the first failure; guarded by mu

	packMu sync.Mutex
	packer *packer // the pack that grows; guarded by packMu
}

// A piece is a chunk to be stored.
type piece struct {
	id  ID
	b   []byte
	buf *buffer // which is held, and has b
}

// File stores the content of a file, at most size bytes of it, or all if size
// is negative. It returns the content's extents and how long it is. An *os.File
// is read from its start, and asked for its holes.
//
// What File returned may be referred to once Flush or Apply has returned nil.
func (w *Writer) File(ctx context.Context, f io.Reader, size int64) ([]Extent, int64, error) {
	if size >= 0 && size <= minChunk {
		return w.small(f, int(size))
	}
	c := &content{w: w, ctx: ctx}
	err := c.read(f, size)
	c.hashing.Wait()
	if err == nil {
		err = w.failure()
	}
	if err != nil {
		return nil, 0, err
	}
	extents, n := c.extents()
	return extents, n, nil
}

// small stores a file that is one chunk.
func (w *Writer) small(f io.Reader, size int) ([]Extent, int64, error) {
	if err := w.failure(); err != nil || size == 0 {
		return nil, 0, err
	}
	buf := newBuffer(size)
	if file, ok := f.(*os.File); ok {
		f = fromStart(file, int64(size))
	}
	n, err := io.ReadFull(f, buf.b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		buf.free()
		return nil, 0, err
	}
	buf.b = buf.b[:n]
	if n == 0 || isZero(buf.b) {
		buf.free()
		return hole(int64(n)), int64(n), nil
	}
	id := hash(buf.b)
	return []Extent{{id, int64(n)}}, int64(n), w.add(piece{id, buf.b, buf})
}

// fromStart reads f from its start, if it is a file that has one.
func fromStart(f *os.File, size int64) io.Reader {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return f
	}
	return io.NewSectionReader(f, 0, size)
}

func hole(size int64) []Extent {
	if size == 0 {
		return nil
	}
	return []Extent{{Size: size}}
}

var errTooMany = agentbay.Errorf(agentbay.Exhausted, "a context cannot have more files than this; delete some, or use another context")

// chunk stores a part of a manifest.
func (w *Writer) chunk(data []byte) (ID, error) {
	if len(data) > maxPiece {
		return ID{}, errTooMany
	}
	buf := newBuffer(len(data))
	copy(buf.b, data)
	id := hash(data)
	return id, w.add(piece{id, buf.b, buf})
}

// add takes a chunk, and lets go of its memory in the end.
func (w *Writer) add(p piece) error {
	w.mu.Lock()
	if w.err != nil || w.fresh[p.id] {
		defer w.mu.Unlock()
		p.buf.free()
		return w.err
	}
	w.fresh[p.id] = true
	w.batch = append(w.batch, p)
	w.bytes += len(p.b)
	var full []piece
	if len(w.batch) >= batchChunks || w.bytes >= batchBytes {
		full = w.takeLocked()
	}
	w.mu.Unlock()
	return w.store(full)
}

func (w *Writer) takeLocked() []piece {
	batch := w.batch
	w.batch, w.bytes = nil, 0
	return batch
}

// store has a batch stored in the background, as soon as there is room.
func (w *Writer) store(batch []piece) error {
	if len(batch) == 0 {
		return nil
	}
	select {
	case w.storing <- struct{}{}:
	case <-w.ctx.Done():
		freeAll(batch)
		return w.fail(w.ctx.Err())
	}
	go func() {
		defer func() { <-w.storing }()
		defer freeAll(batch)
		w.fail(w.storeBatch(batch))
	}()
	return nil
}

func freeAll(batch []piece) {
	for _, p := range batch {
		p.buf.free()
	}
}

// fail remembers the first failure, and returns it.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *Writer) failure() error { return w.fail(w.ctx.Err()) }

// storeBatch packs what the index does not know.
func (w *Writer) storeBatch(batch []piece) error {
	ids := make([]ID, len(batch))
	for i, p := range batch {
		ids[i] = p.id
	}
	known, err := w.repo.index.Find(w.ctx, ids)
	if err != nil {
		return err
	}
	w.forget(ids, func(i int) bool { return known[i] != Location{} })
	scratch := newBuffer(batchBytes + maxChunk)
	defer scratch.free()
	return w.append(packAll(batch, known, scratch.b))
}

// forget takes those chunks that are in the index off the list of fresh ones.
func (w *Writer) forget(ids []ID, known func(i int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, id := range ids {
		if known(i) {
			delete(w.fresh, id)
		}
	}
}

// packAll packs those of a batch that are not known.
func packAll(batch []piece, known []Location, scratch []byte) []packedPiece {
	packed := make([]packedPiece, 0, len(batch))
	for i, p := range batch {
		if known[i] != (Location{}) {
			continue
		}
		c := packedPiece{id: p.id, size: int64(len(p.b)), buf: p.buf}
		if c.form, c.data = pack(scratch, p.b); c.form == compressed {
			c.buf = nil
			scratch = scratch[min(len(c.data), len(scratch)):]
		}
		packed = append(packed, c)
	}
	return packed
}

// append adds pieces to the pack that grows, and puts that when it is full.
func (w *Writer) append(pieces []packedPiece) error {
	w.packMu.Lock()
	for _, p := range pieces {
		w.packer.add(p)
	}
	var full *packer
	if w.packer.size >= packSize {
		full, w.packer = w.packer, new(packer)
	}
	w.packMu.Unlock()
	if full == nil {
		return nil
	}
	return w.put(full)
}

// put makes a pack durable, and then known.
func (w *Writer) put(p *packer) error {
	ids := make([]ID, len(p.chunks))
	for i, c := range p.chunks {
		ids[i] = c.ID
	}
	defer p.free()
	if err := w.failure(); err != nil {
		return err
	}
	if err := w.repo.put(w.ctx, p); err != nil {
		return err
	}
	w.forget(ids, func(int) bool { return true })
	return nil
}

// put stores a pack and tells the index. In this order: a pack that is not in
// the index is garbage, while an index that knows more than there is would lie.
func (r *Repo) put(ctx context.Context, p *packer) error {
	k, blob := p.finish(r.packs())
	if err := r.blobs.Put(ctx, k.Name, blob, k.Size); err != nil {
		return err
	}
	return r.index.Add(ctx, k, p.chunks)
}

// Flush returns when everything that was added is durable and in the index.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	batch := w.takeLocked()
	w.mu.Unlock()
	if err := w.store(batch); err != nil {
		return err
	}
	if err := w.idle(ctx); err != nil {
		return err
	}
	w.packMu.Lock()
	last := w.packer
	w.packer = new(packer)
	w.packMu.Unlock()
	if len(last.chunks) > 0 {
		w.fail(w.put(last))
	}
	return w.failure()
}

// idle waits until nothing is being stored.
func (w *Writer) idle(ctx context.Context) error {
	w.idleMu.Lock()
	defer w.idleMu.Unlock()
	for range cap(w.storing) {
		select {
		case w.storing <- struct{}{}:
			defer func() { <-w.storing }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close lets go. What was not flushed is dropped. Call it after the new root
// has been committed: from then on what no root needs may be collected.
func (w *Writer) Close() error {
	w.closed.Do(func() {
		w.stop()
		w.idle(context.Background())
		w.mu.Lock()
		freeAll(w.takeLocked())
		w.mu.Unlock()
		w.packMu.Lock()
		w.packer.free()
		w.packMu.Unlock()
		w.repo.gate.leave()
	})
	return nil
}
