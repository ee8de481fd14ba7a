// Package s3 keeps blobs in a bucket of an S3-compatible server.
//
// A blob is the object of its name, below a prefix. S3 shows an object whole or
// not at all, so nothing more is needed for that. Requests that fail on the way
// are tried again for some seconds.
package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// A Store keeps blobs in a bucket. Open makes one.
type Store struct {
	options Options
	client  *minio.Client
	public  *minio.Client // signs URLs for clients
	single  int64
	part    int64
}

var (
	_ blob.Store     = (*Store)(nil)
	_ blob.Presigner = (*Store)(nil)
)

// Open makes a Store. It does not talk to the server: Check does.
//
// Invalid: the options are not well-formed.
func Open(o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	client, err := connect(o, o.Endpoint)
	if err != nil {
		return nil, err
	}
	public, err := connect(o, cmp.Or(o.PublicEndpoint, o.Endpoint))
	if err != nil {
		return nil, err
	}
	return &Store{options: o, client: client, public: public, single: single, part: part}, nil
}

func connect(o Options, endpoint string) (*minio.Client, error) {
	u, err := parse(endpoint)
	if err != nil {
		return nil, err
	}
	over, err := transport(u.Scheme == "https")
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "no connection to the S3 endpoint %s can be made", endpoint)
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:       u.Scheme == "https",
		Transport:    over,
		Region:       o.Region,
		BucketLookup: lookups[o.Addressing],
		MaxRetries:   5,
	})
	return c, agentbay.Wrap(err, agentbay.Invalid, "the S3 endpoint %s cannot be used; correct it", endpoint)
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if offset < 0 || n == 0 {
		return s.getNothing(ctx, name, offset)
	}
	r, left, err := s.request(ctx, name, offset, n)
	if beyond(err) {
		return s.getNothing(ctx, name, offset)
	}
	if err != nil {
		return nil, s.failure(ctx, err, "blob %s cannot be read", name)
	}
	return &body{ReadCloser: r, ctx: ctx, s: s, name: name, left: left}, nil
}

// request asks for a part of a blob. It returns how many bytes are to come;
// below zero if the server does not say.
func (s *Store) request(ctx context.Context, name string, offset, n int64) (io.ReadCloser, int64, error) {
	var options minio.GetObjectOptions
	part := rangeOf(offset, n)
	if part != "" {
		options.Set("Range", part)
	}
	r, info, header, err := s.core().GetObject(ctx, s.options.Bucket, s.key(name), options)
	if err != nil || part == "" {
		return r, info.Size, err
	}
	left, err := lengthOf(header.Get("Content-Range"), offset)
	if err != nil {
		r.Close()
	}
	return r, left, err
}

// getNothing reads no bytes of a blob from offset, if there is the blob.
func (s *Store) getNothing(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, _, err := blob.Part(info.Size, offset, 0); err != nil {
		return nil, err
	}
	return http.NoBody, nil
}

// rangeOf is the header that asks for a part; empty if that is the whole.
func rangeOf(offset, n int64) string {
	switch {
	case n < 0 && offset == 0:
		return ""
	case n < 0 || offset+n < offset: // to the end, or beyond what can be counted
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)
}

// lengthOf is how much an answer has that is a part from offset.
func lengthOf(contentRange string, offset int64) (int64, error) {
	var first, last int64
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/", &first, &last); err != nil {
		return 0, fmt.Errorf("asked for a part, the S3 server says that it is %q: %w", contentRange, err)
	}
	if first != offset || last < first {
		return 0, fmt.Errorf("asked for a part from %d, the S3 server gives %q", offset, contentRange)
	}
	return last - first + 1, nil
}

// A body is what is being read of a blob.
type body struct {
	io.ReadCloser
	ctx  context.Context
	s    *Store
	name string
	left int64 // bytes that are still to come; negative if the server did not say
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	whole := b.left < 0 || int64(n) == b.left
	if b.left >= 0 {
		b.left -= min(int64(n), b.left)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF) && whole:
		return n, err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, b.s.failure(b.ctx, err, "blob %s was cut short", b.name)
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := blob.CheckName(name); err != nil {
		return blob.Info{}, err
	}
	info, err := s.client.StatObject(ctx, s.options.Bucket, s.key(name), minio.StatObjectOptions{})
	if err != nil {
		return blob.Info{}, s.failure(ctx, err, "blob %s cannot be found", name)
	}
	return blob.Info{Name: name, Size: info.Size, At: info.LastModified}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	err := s.client.RemoveObject(ctx, s.options.Bucket, s.key(name), minio.RemoveObjectOptions{})
	if err = s.failure(ctx, err, "blob %s cannot be deleted", name); errors.Is(err, agentbay.NotFound) {
		return nil
	}
	return err
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if !blob.Begins(prefix) {
			return
		}
		options := minio.ListObjectsOptions{Prefix: s.key(prefix), Recursive: true}
		for o := range s.client.ListObjectsIter(ctx, s.options.Bucket, options) {
			if o.Err != nil {
				yield(blob.Info{}, s.failure(ctx, o.Err, "blobs cannot be listed"))
				return
			}
			name := strings.TrimPrefix(o.Key, s.options.Prefix)
			if blob.CheckName(name) != nil {
				continue // put by somebody else
			}
			if !yield(blob.Info{Name: name, Size: o.Size, At: o.LastModified}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the library says nothing of it
			yield(blob.Info{}, err)
		}
	}
}

// PresignPut implements blob.Presigner.
func (s *Store) PresignPut(ctx context.Context, name string, expires time.Duration) (string, error) {
	if err := checkURL(name, expires); err != nil {
		return "", err
	}
	u, err := s.public.PresignedPutObject(ctx, s.options.Bucket, s.key(name), expires)
	if err != nil {
		return "", s.failure(ctx, err, "the URL of blob %s cannot be signed", name)
	}
	return u.String(), nil
}

// PresignGet implements blob.Presigner.
func (s *Store) PresignGet(ctx context.Context, name string, expires time.Duration) (string, error) {
	if err := checkURL(name, expires); err != nil {
		return "", err
	}
	u, err := s.public.PresignedGetObject(ctx, s.options.Bucket, s.key(name), expires, nil)
	if err != nil {
		return "", s.failure(ctx, err, "the URL of blob %s cannot be signed", name)
	}
	return u.String(), nil
}

// checkURL refuses what S3 would not sign.
func checkURL(name string, expires time.Duration) error {
	if expires < time.Second || expires > 7*24*time.Hour {
		return agentbay.Errorf(agentbay.Invalid, "a URL of S3 expires after 1 second to 7 days, not after %v", expires)
	}
	return blob.CheckName(name)
}

// Check makes sure that blobs can be listed, put, read and deleted, and says what
// is wrong and what to do if not. It removes what Puts have left that were killed
// a day ago or earlier.
func (s *Store) Check(ctx context.Context) error {
	for _, err := range s.List(ctx, "") {
		if err != nil {
			return err
		}
		break
	}
	if err := s.probe(ctx, "check-"+strings.ToLower(rand.Text())); err != nil {
		return err
	}
	return s.clean(ctx, time.Now().Add(-24*time.Hour))
}

// probe puts, reads and deletes a blob.
func (s *Store) probe(ctx context.Context, name string) error {
	const content = "can blobs be put here?"
	if err := s.Put(ctx, name, strings.NewReader(content), int64(len(content))); err != nil {
		return err
	}
	r, err := s.Get(ctx, name, 4, 5)
	if err != nil {
		return errors.Join(err, s.Delete(context.WithoutCancel(ctx), name))
	}
	b, err := io.ReadAll(r)
	err = errors.Join(err, r.Close(), s.Delete(context.WithoutCancel(ctx), name))
	if err == nil && string(b) != content[4:9] {
		return agentbay.Errorf(agentbay.Internal, "asked for bytes 4 to 8 of %q, the S3 server %s gave %q; it is broken", content, s.options.Endpoint, b)
	}
	return err
}

// clean removes what is left of Puts of several parts that began before a time.
// Servers that do not know of such have none.
func (s *Store) clean(ctx context.Context, before time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // or the library goes on listing
	for u := range s.client.ListIncompleteUploads(ctx, s.options.Bucket, s.options.Prefix, true) {
		if u.Err != nil {
			return s.unlessUnknown(ctx, u.Err)
		}
		if !u.Initiated.Before(before) {
			continue
		}
		if err := s.core().AbortMultipartUpload(ctx, s.options.Bucket, u.Key, u.UploadID); err != nil {
			return s.unlessUnknown(ctx, err)
		}
	}
	return nil
}

// key is the object of a blob.
func (s *Store) key(name string) string { return s.options.Prefix + name }
