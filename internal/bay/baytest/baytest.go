// Package baytest is a whole bay in a test: the real rules, the real store in
// memory and the real line to the guest, on a host that is none.
package baytest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/contexts/index"
	"github.com/agentbay/agentbay/internal/contexts/tree"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/store"
)

// A Bay is a bay that has been started.
type Bay struct {
	*bay.Bay
	Host   *Host
	Images *ImageSet
}

// New starts a bay, after the options have changed what they want to, and shuts
// it down at the end of the test.
func New(t testing.TB, options ...func(*Bay)) *Bay {
	t.Helper()
	db, err := store.Open(t.Context(), store.Memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &Bay{
		Host:   NewHost(),
		Images: Images(),
		Bay:    &bay.Bay{Store: db, Log: slog.New(slog.DiscardHandler)},
	}
	b.Bay.Images = b.Images
	b.Bay.Data, b.Secret = NewData(t), []byte("sixteen bytes or more")
	b.Runtimes = map[string]runtime.Runtime{"fake": b.Host}
	for _, change := range options {
		change(b)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stop(t) })
	return b
}

// NewData makes a place for contexts that ends with the test.
func NewData(t testing.TB) *bay.Data {
	t.Helper()
	blobs, err := dir.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "chunks.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chunks.Close() })
	trees, err := tree.OpenCache(filepath.Join(t.TempDir(), "trees"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trees.Close() })
	return &bay.Data{Dir: t.TempDir(), Blobs: blobs, Chunks: chunks.Tenant, Trees: trees}
}

// stop shuts the bay down and ends all machines.
func (b *Bay) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
	b.Host.StopAll()
}

// NewKey makes an API key.
func (b *Bay) NewKey(t testing.TB, name string) string {
	t.Helper()
	secret := gate.NewKey()
	err := b.Store.AddKey(t.Context(), store.Key{
		ID: gate.NewKeyID(), Name: name, Hash: gate.Hash(secret), Visible: gate.Visible(secret), CreatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// Service returns the bay as the holder of a new key sees it.
func (b *Bay) Service(t testing.TB, name string) agentbay.Service {
	t.Helper()
	s, err := b.Key(t.Context(), b.NewKey(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
