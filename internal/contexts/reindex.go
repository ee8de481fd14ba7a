package contexts

import (
	"context"
	"errors"
	"io"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// Reindex tells the index of all packs in the blob store, for when it was lost.
// It returns how many there are, and how many are not whole and were left out.
func (r *Repo) Reindex(ctx context.Context) (packs, damaged int, err error) {
	if err := r.gate.enter(ctx); err != nil {
		return 0, 0, err
	}
	defer r.gate.leave()
	for info, err := range r.blobs.List(ctx, r.packs()) {
		if err != nil {
			return packs, damaged, err
		}
		err := r.reindex(ctx, info)
		switch {
		case errors.Is(err, errNoPack), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, agentbay.NotFound):
			damaged++
		case err != nil:
			return packs, damaged, err
		default:
			packs++
		}
	}
	return packs, damaged, nil
}

func (r *Repo) reindex(ctx context.Context, info blob.Info) error {
	footer, err := r.read(ctx, info.Name, info.Size-int64(footerSize), int64(footerSize))
	if err != nil {
		return err
	}
	n, sum, err := parseFooter(footer)
	if err != nil {
		return err
	}
	used := info.Size - int64(footerSize) - n
	dir, err := r.read(ctx, info.Name, used, n)
	if err != nil {
		return err
	}
	chunks, err := parseDirectory(dir, sum, used)
	if err != nil {
		return err
	}
	for i := range chunks {
		chunks[i].Pack = info.Name
	}
	return r.index.Add(ctx, Pack{Name: info.Name, Size: info.Size, Used: used}, chunks)
}
