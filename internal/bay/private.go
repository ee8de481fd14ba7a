package bay

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// A private store says nothing of itself to callers of the bay: where it is, and
// what is wrong with it, is for the server's log.
type private struct{ blob.Store }

// hide gives err words that are for everybody.
func hide(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, agentbay.Exhausted):
		return agentbay.Wrap(err, agentbay.Exhausted, "there is no room for more files in contexts; the server's log says why")
	case errors.Is(err, agentbay.Unavailable):
		return agentbay.Wrap(err, agentbay.Unavailable, "the files of contexts cannot be reached just now; try again")
	}
	return err
}

func (p private) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return hide(p.Store.Put(ctx, name, r, size))
}

func (p private) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	r, err := p.Store.Get(ctx, name, offset, n)
	if err != nil {
		return nil, hide(err)
	}
	return privateReader{r}, nil
}

func (p private) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := p.Store.Stat(ctx, name)
	return info, hide(err)
}

func (p private) Delete(ctx context.Context, name string) error {
	return hide(p.Store.Delete(ctx, name))
}

func (p private) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range p.Store.List(ctx, prefix) {
			if !yield(info, hide(err)) {
				return
			}
		}
	}
}

type privateReader struct{ io.ReadCloser }

func (r privateReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err == io.EOF {
		return n, io.EOF
	}
	return n, hide(err)
}
