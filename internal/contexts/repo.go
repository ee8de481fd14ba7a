package contexts

import (
	"context"
	"sync"

	"github.com/agentbay/agentbay/internal/blob"
)

// A Repo is the data of one tenant. Its methods may be called concurrently.
//
// In the blob store it has the names that begin with the tenant's and "/packs/".
type Repo struct {
	tenant   string
	blobs    blob.Store
	index    Index
	gate     gate
	recent   recent
	fetchers chan struct{} // has room for those who read from the blob store
}

// New opens the data of a tenant. There must be one Repo of a tenant at a time:
// it is what keeps [Repo.Collect] from removing what is being written.
// The tenant becomes part of the blobs' names.
func New(tenant string, blobs blob.Store, index Index) *Repo {
	return &Repo{tenant: tenant, blobs: blobs, index: index, fetchers: make(chan struct{}, fetchers)}
}

// packs is what the names of packs begin with.
func (r *Repo) packs() string { return r.tenant + "/packs/" }

// Hold keeps everything that is stored until release is called. Take it before
// asking which root is current, and nothing of that root goes meanwhile. A
// collection that runs gives way.
func (r *Repo) Hold(ctx context.Context) (release func(), err error) {
	if err := r.gate.enter(ctx); err != nil {
		return nil, err
	}
	return sync.OnceFunc(r.gate.leave), nil
}
