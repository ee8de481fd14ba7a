package bay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/contexts"
	"github.com/agentbay/agentbay/internal/store"
)

// # Direct transfer
//
// Where clients reach the blob store, files travel past this server. What a
// client puts lies as a blob beside the context's data until somebody looks at
// the context, and becomes a file of it before they see anything. What a client
// gets is put together as a blob for it. Nobody says when either is done, so what
// is left of them is collected by time.

// lateBy is how long a put may take that began before its URL expired.
const lateBy = 4 * time.Hour

// incomingOf is what the names of blobs for a context begin with.
func incomingOf(x store.Context) string {
	return x.KeyID + "/incoming/" + strings.ToLower(string(x.ID)) + "/"
}

// uploadURL is where a file can be put. If it would be refused now, that is this
// server, which says so; the blob store would take it.
func (b *Bay) uploadURL(ctx context.Context, x store.Context, key string) (agentbay.FileURL, error) {
	if b.Data.Direct == nil || b.mayPut(ctx, x, key) != nil {
		return b.fileURL(x.ID, key, true), nil
	}
	expires := time.Now().Add(urlLife)
	in := store.Incoming{Name: incomingOf(x) + strings.ToLower(rand.Text()), Context: x.ID, Path: key, Expires: expires.Add(lateBy)}
	if err := b.Store.AddIncoming(ctx, in); err != nil {
		return agentbay.FileURL{}, orInternal(err, "the upload could not be recorded; try again")
	}
	url, err := b.Data.Direct.PresignPut(ctx, in.Name, urlLife)
	return agentbay.FileURL{URL: url, Expires: expires}, orInternal(err, "the URL could not be signed")
}

// mayPut refuses a file for which there is no room, or no place.
func (b *Bay) mayPut(ctx context.Context, x store.Context, key string) error {
	if _, err := b.bounded(ctx, x, key, nil, 1); err != nil {
		return err
	}
	root, release, err := b.root(ctx, x)
	if err != nil {
		return err
	}
	defer release()
	return inTheWay(ctx, b.Data.repo(x.KeyID), root, key)
}

// takeIn makes files of what clients have put for a context. Whoever looks at
// one calls it first, and so does whoever changes one, so that what came earlier
// does not replace what came later. It goes on when ctx ends.
//
// Unavailable: the blob store cannot be reached, or there is much to take in.
func (b *Bay) takeIn(ctx context.Context, x store.Context) error {
	some, err := b.Store.Expects(ctx, x.ID)
	if err != nil || !some {
		return orInternal(err, "context %s could not be looked up", x.ID)
	}
	if err := b.join(); err != nil {
		return err
	}
	done := make(chan error, 1)
	b.background.Go(func() {
		defer b.inFlight.Done()
		done <- b.takeInAll(b.ctx, x)
	})
	select {
	case err := <-done:
		return orInternal(err, "files that were put by URL could not be taken into context %s; try again", x.ID)
	case <-ctx.Done():
		return agentbay.Wrap(ctx.Err(), agentbay.Unavailable, "files that were put by URL are still being taken into context %s; try again", x.ID)
	}
}

// takeInAll takes in what has arrived until now, in the order of arrival.
func (b *Bay) takeInAll(ctx context.Context, x store.Context) error {
	defer b.Data.lock(x.ID + "/incoming")() // of its own: each file is committed
	arrived, err := b.blobs(ctx, incomingOf(x))
	if err != nil {
		return err
	}
	slices.SortStableFunc(arrived, func(a, b blob.Info) int { return a.At.Compare(b.At) })
	for _, info := range arrived {
		err := b.takeOne(ctx, info.Name)
		if err != nil && agentbay.CodeOf(err) != agentbay.NotFound { // it is gone, or not expected any more
			return err
		}
	}
	return nil
}

func (b *Bay) blobs(ctx context.Context, prefix string) (list []blob.Info, err error) {
	for info, err := range b.Data.Blobs.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// takeOne makes a file of a blob and then deletes it: who is killed in between
// does it again, before anything else can happen to the context. One that is put
// once more meanwhile is left to the next time, and so is one that could be taken
// in later.
func (b *Bay) takeOne(ctx context.Context, name string) error {
	in, err := b.Store.Incoming(ctx, name)
	if err != nil {
		return err
	}
	was, err := b.Data.Blobs.Stat(ctx, name)
	if err != nil {
		return err
	}
	began := time.Now()
	err = b.keepBlob(ctx, in)
	b.logPut(ctx, in.Context, began, err)
	switch code := agentbay.CodeOf(err); {
	case ctx.Err() != nil, code == agentbay.Unavailable, code == agentbay.NotFound:
		return err
	case err != nil && code != agentbay.Conflict && !errors.Is(err, errQuota):
		return nil
	}
	if now, err := b.Data.Blobs.Stat(ctx, name); err != nil || now != was {
		return err
	}
	return b.Data.Blobs.Delete(ctx, name)
}

// keepBlob makes a file of a blob. Its size is not asked for: the blob may have
// been put once more.
func (b *Bay) keepBlob(ctx context.Context, in store.Incoming) error {
	x, err := b.keptContext(ctx, in.Context)
	if err != nil {
		return err
	}
	r, err := b.Data.Blobs.Get(ctx, in.Name, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = b.putFile(ctx, x, in.Path, r, -1)
	return err
}

// maxOutgoing is the largest file that is put together for a client.
const maxOutgoing = 1 << 30

// downloadURL is where a file can be got: from this server, if the blob store
// cannot have it.
func (b *Bay) downloadURL(ctx context.Context, x store.Context, e contexts.Entry) agentbay.FileURL {
	if b.Data.Direct == nil || e.Kind != contexts.File || e.Size > maxOutgoing {
		return b.fileURL(x.ID, e.Path, false)
	}
	u, err := b.outgoing(ctx, x, e)
	if err != nil {
		b.Log.WarnContext(ctx, "a file could not be put together for its client, who gets it from here", "context", x.ID, "err", err)
		return b.fileURL(x.ID, e.Path, false)
	}
	return u
}

// outgoing puts a file together as a blob, unless there is one from this hour.
// The hour is in its name, so that it can be told from that alone when no URL of
// it is good any more.
func (b *Bay) outgoing(ctx context.Context, x store.Context, e contexts.Entry) (u agentbay.FileURL, err error) {
	now := time.Now()
	name := fmt.Sprintf("%s/outgoing/%d/%s", x.KeyID, now.Truncate(urlLife).Unix(), etagOf(e))
	_, err = b.Data.Blobs.Stat(ctx, name)
	if agentbay.CodeOf(err) == agentbay.NotFound {
		err = b.assemble(ctx, x, e, name)
	}
	if err != nil {
		return u, err
	}
	u.Expires = time.Now().Add(urlLife)
	u.URL, err = b.Data.Direct.PresignGet(ctx, name, urlLife)
	return u, err
}

func (b *Bay) assemble(ctx context.Context, x store.Context, e contexts.Entry, name string) error {
	r, err := b.Data.repo(x.KeyID).Open(ctx, e)
	if err != nil {
		return err
	}
	defer r.Close()
	return b.Data.Blobs.Put(ctx, name, r, e.Size)
}

// outgoingOver reports whether no URL of a blob is good any more, and downloads
// that began in time had time to end.
func outgoingOver(name string, now time.Time) bool {
	hour, err := strconv.ParseInt(path.Base(path.Dir(name)), 10, 64)
	return err != nil || now.Sub(time.Unix(hour, 0)) > 2*urlLife+lateBy
}

// settleIncoming takes in what nobody has looked for, and then forgets what is
// not expected any more.
func (b *Bay) settleIncoming(ctx context.Context, x store.Context) error {
	now := time.Now()
	some, err := b.Store.Expects(ctx, x.ID)
	if err != nil || !some {
		return err
	}
	if err := b.takeIn(ctx, x); err != nil {
		return err
	}
	return b.Store.ForgetIncoming(ctx, x.ID, now)
}

// collectDirect removes the blobs that are not expected, and those that no client
// can get any more.
func (b *Bay) collectDirect(ctx context.Context, tenants map[string]bool) (failed error) {
	for tenant := range tenants {
		over, err := b.overDirect(ctx, tenant)
		for _, name := range over {
			err = errors.Join(err, b.Data.Blobs.Delete(ctx, name))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// overDirect names the blobs of a tenant that collectDirect removes.
func (b *Bay) overDirect(ctx context.Context, tenant string) (over []string, err error) {
	in, err := b.blobs(ctx, tenant+"/incoming/")
	if err != nil {
		return nil, err
	}
	for _, info := range in {
		if _, err := b.Store.Incoming(ctx, info.Name); agentbay.CodeOf(err) == agentbay.NotFound {
			over = append(over, info.Name)
		}
	}
	out, err := b.blobs(ctx, tenant+"/outgoing/")
	for _, info := range out {
		if outgoingOver(info.Name, time.Now()) {
			over = append(over, info.Name)
		}
	}
	return over, err
}
