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
// with no empty, "." or ".." part, at most 255 bytes; any other is Invalid. Where
// a/b is put, a must not be: in some stores a blob cannot be a folder as well.
// Methods may be called concurrently.
type Store interface {
	// Put keeps the size bytes of r under name, and replaces what was there. Once
	// it returns nil the blob survives the loss of power. If it fails or is
	// killed, there is no blob of that name, or the one there was, or, if only
	// the answer was lost, the new one: never a part of it. What a killed Put
	// leaves behind, the driver removes by itself.
	//
	// Invalid: r has more or fewer bytes.
	// Exhausted: there is no room.
	// Unavailable: the store cannot be reached.
	Put(ctx context.Context, name string, r io.Reader, size int64) error

	// Get reads n bytes from offset, or less at the end; n < 0 means to the end.
	// The caller must close what it gets, and read it before ctx is done. Reading
	// it ends with an error, not with io.EOF, if the store breaks off.
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
