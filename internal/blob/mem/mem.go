// Package mem keeps blobs in memory, for tests and small uses. What it keeps is
// gone with the process.
package mem

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// A Store keeps blobs in memory. The zero Store is empty.
type Store struct {
	mu    sync.RWMutex
	blobs map[string]kept // guarded by mu
}

type kept struct {
	b  []byte // never changed
	at time.Time
}

var _ blob.Store = (*Store)(nil)

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := blob.CheckPut(name, size); err != nil {
		return err
	}
	_, source := blob.Exact(ctx, r, size)
	b, err := io.ReadAll(source)
	if err = cmp.Or(source.End(), err); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs == nil {
		s.blobs = map[string]kept{}
	}
	s.blobs[name] = kept{b, time.Now()}
	return nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	k, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	offset, n, err = blob.Part(int64(len(k.b)), offset, n)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(k.b[offset:][:n])), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	k, err := s.find(ctx, name)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Name: name, Size: int64(len(k.b)), At: k.at}, nil
}

func (s *Store) find(ctx context.Context, name string) (kept, error) {
	if err := blob.CheckName(name); err != nil {
		return kept{}, err
	}
	if err := ctx.Err(); err != nil {
		return kept{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.blobs[name]
	if !ok {
		return kept{}, agentbay.Errorf(agentbay.NotFound, "there is no blob %s", name)
	}
	return k, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, name)
	return nil
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, err)
			return
		}
		for _, info := range s.infos(prefix) {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *Store) infos(prefix string) (all []blob.Info) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, k := range s.blobs {
		if strings.HasPrefix(name, prefix) {
			all = append(all, blob.Info{Name: name, Size: int64(len(k.b)), At: k.at})
		}
	}
	return all
}
