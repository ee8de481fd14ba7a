package contexts

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/agentbay/agentbay"
)

// Chunks that are close together in a pack are read at once.
const (
	fetchGap   = 64 << 10 // what may lie between two of them
	fetchBytes = 4 << 20  // where a read ends
	fetchers   = 8        // reads at a time

	maxRead = 64 << 20 // no chunk, directory or run of chunks is longer
)

// A want is a chunk that is fetched.
type want struct {
	id ID
	at Location
}

// fetch reads chunks, all at once, and proves each. It returns them by ID, and
// the first error; what could be read is returned all the same.
func (r *Repo) fetch(ctx context.Context, ids []ID) (map[ID][]byte, error) {
	wants, err := r.locate(ctx, ids)
	if wants == nil {
		return nil, err
	}
	got := make(map[ID][]byte, len(wants))
	f := &fetching{repo: r, got: got, err: err}
	for _, run := range runs(wants) {
		select {
		case r.fetchers <- struct{}{}:
		case <-ctx.Done():
			f.wait.Wait()
			return got, ctx.Err()
		}
		f.wait.Go(func() {
			defer func() { <-r.fetchers }()
			f.run(ctx, run)
		})
	}
	f.wait.Wait()
	return got, f.err
}

// locate finds each chunk once, in the order of where they are. For those that
// are unknown there is an error besides.
func (r *Repo) locate(ctx context.Context, ids []ID) ([]want, error) {
	ids = unique(ids)
	locations, err := r.index.Find(ctx, ids)
	if err != nil {
		return nil, err
	}
	wants := make([]want, 0, len(ids))
	for i, at := range locations {
		if at == (Location{}) {
			err = cmp.Or[error](err, &damage{ids[i], "is missing"})
			continue
		}
		wants = append(wants, want{ids[i], at})
	}
	slices.SortFunc(wants, func(a, b want) int {
		return cmp.Or(cmp.Compare(a.at.Pack, b.at.Pack), cmp.Compare(a.at.Offset, b.at.Offset))
	})
	return wants, err
}

func unique(ids []ID) []ID {
	seen := make(map[ID]bool, len(ids))
	once := make([]ID, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// runs cuts wants into what is read at once.
func runs(wants []want) [][]want {
	var runs [][]want
	for len(wants) > 0 {
		n := 1
		for n < len(wants) && joins(wants[0].at, wants[n-1].at, wants[n].at) {
			n++
		}
		runs, wants = append(runs, wants[:n]), wants[n:]
	}
	return runs
}

func joins(first, last, next Location) bool {
	return next.Pack == first.Pack && next.Offset-last.end() <= fetchGap && next.end()-first.Offset <= fetchBytes
}

func (l Location) end() int64 { return l.Offset + l.Stored }

// A fetching is a call of fetch.
type fetching struct {
	repo *Repo
	wait sync.WaitGroup

	mu  sync.Mutex
	got map[ID][]byte // guarded by mu
	err error         // guarded by mu
}

func (f *fetching) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// run reads what lies together.
func (f *fetching) run(ctx context.Context, run []want) {
	b, err := f.repo.readRun(ctx, run)
	if err != nil {
		f.fail(err)
		return
	}
	for _, w := range run {
		chunk, err := unpack(w.id, w.in(b, run), w.at.Size)
		if err != nil {
			f.fail(err)
			continue
		}
		f.mu.Lock()
		f.got[w.id] = chunk
		f.mu.Unlock()
	}
}

// readRun reads what lies together. That it is not there is damage.
func (r *Repo) readRun(ctx context.Context, run []want) ([]byte, error) {
	first, last := run[0].at, run[len(run)-1].at
	b, err := r.read(ctx, first.Pack, first.Offset, last.end()-first.Offset)
	if errors.Is(err, agentbay.NotFound) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &damage{run[0].id, "is in a pack that is not whole any more: " + err.Error()}
	}
	return b, err
}

// in returns what is stored of w in what was read for a run.
func (w want) in(b []byte, run []want) []byte {
	start := w.at.Offset - run[0].at.Offset
	if start < 0 || w.at.Stored < 0 || start+w.at.Stored > int64(len(b)) {
		return nil // the index overlaps; unpack says so
	}
	return b[start:][:w.at.Stored]
}

// read reads a part of a pack.
func (r *Repo) read(ctx context.Context, pack string, offset, n int64) ([]byte, error) {
	if offset < 0 || n <= 0 || n > maxRead {
		return nil, io.ErrUnexpectedEOF
	}
	body, err := r.blobs.Get(ctx, pack, offset, n)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(body, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// one fetches a chunk.
func (r *Repo) one(ctx context.Context, id ID) ([]byte, error) {
	got, err := r.fetch(ctx, []ID{id})
	if err != nil {
		return nil, err
	}
	return got[id], nil
}
