// Package blob keeps bytes under names. A [Store] is a driver: a directory of
// this host, or a bucket of an S3-compatible server. Package blobtest is the
// suite that each must pass. What the bytes mean, and when they may go, is
// decided elsewhere.
package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// A Store keeps blobs. A blob is written whole, never changed, and read in
// parts. Names are made of the letters a to z, digits, '-', '_', '.' and '/',
// with no empty, "." or ".." part, at most 255 bytes. Methods may be called
// concurrently.
type Store interface {
	// Put keeps size bytes of r under name. Once it returns nil the blob
	// survives the loss of power; until then, and if it fails or is killed,
	// there is no blob of that name, or the one there was. What a killed Put
	// leaves behind, the driver removes by itself.
	//
	// Exhausted: there is no room.
	// Unavailable: the store cannot be reached.
	Put(ctx context.Context, name string, r io.Reader, size int64) error

	// Get reads n bytes from offset, or less at the end; n < 0 means to the end.
	// The caller must close what it gets.
	//
	// NotFound: there is no such blob.
	// Unavailable: the store cannot be reached.
	Get(ctx context.Context, name string, offset, n int64) (io.ReadCloser, error)

	// Stat describes a blob.
	//
	// NotFound: there is none.
	Stat(ctx context.Context, name string) (Info, error)

	// Delete removes a blob. Deleting what is not there is not an error.
	Delete(ctx context.Context, name string) error

	// List yields the blobs whose names begin with prefix, in no order.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// An Info describes a blob.
type Info struct {
	Name string
	Size int64
	At   time.Time // when it was put
}

// A Presigner is a Store whose blobs clients can reach by themselves.
type Presigner interface {
	// PresignPut returns a URL that takes one PUT of the blob until it expires.
	PresignPut(ctx context.Context, name string, expires time.Duration) (string, error)

	// PresignGet returns a URL that serves the blob until it expires.
	PresignGet(ctx context.Context, name string, expires time.Duration) (string, error)
}
