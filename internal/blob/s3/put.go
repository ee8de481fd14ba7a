package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/agentbay/agentbay/internal/blob"
)

// Every request that carries content signs its SHA-256. A server cannot take for
// whole what was cut or changed on the way, as some else do when a connection
// ends early. It must be known before the first byte is sent, so content is read
// twice if it can seek, and kept in memory, a part at a time, if it cannot.

const (
	single   = 64 << 20 // the largest blob that is sent with one request
	part     = 16 << 20 // the size of the parts of others
	maxParts = 10_000
)

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := blob.CheckPut(name, size); err != nil {
		return err
	}
	sending, source := blob.Exact(ctx, r, size)
	err := s.put(sending, name, source, size)
	broken := source.End() // in any case: the library may still be reading
	if err == nil {
		return nil
	}
	return cmp.Or(broken, s.failure(ctx, err, "blob %s cannot be put", name))
}

func (s *Store) put(ctx context.Context, name string, r io.Reader, size int64) error {
	seeker, ok := r.(io.ReadSeeker)
	switch {
	case ok && size <= s.single:
		return s.putWhole(ctx, name, seeker, size)
	case size <= s.part:
		return s.putBuffered(ctx, name, r, size)
	}
	return s.putParts(ctx, name, r, size)
}

func (s *Store) putWhole(ctx context.Context, name string, r io.ReadSeeker, size int64) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	options := minio.PutObjectOptions{DisableContentSha256: true} // the streamed one
	_, err := s.core().PutObject(ctx, s.options.Bucket, s.key(name), r, size, "", hex.EncodeToString(h.Sum(nil)), options)
	return err
}

func (s *Store) putBuffered(ctx context.Context, name string, r io.Reader, size int64) error {
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	return s.putWhole(ctx, name, bytes.NewReader(b.Bytes()), size)
}

// putParts sends a blob in parts, which become one at the end.
func (s *Store) putParts(ctx context.Context, name string, r io.Reader, size int64) error {
	id, err := s.core().NewMultipartUpload(ctx, s.options.Bucket, s.key(name), minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	parts, err := s.sendParts(ctx, name, id, r, max(s.part, size/maxParts+1))
	if err == nil {
		_, err = s.core().CompleteMultipartUpload(ctx, s.options.Bucket, s.key(name), id, parts, minio.PutObjectOptions{})
	}
	if err != nil {
		s.abort(ctx, s.key(name), id)
	}
	return err
}

func (s *Store) sendParts(ctx context.Context, name, id string, r io.Reader, size int64) (parts []minio.CompletePart, err error) {
	b := make([]byte, size)
	for {
		n, err := io.ReadFull(r, b)
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		etag, err := s.sendPart(ctx, name, id, len(parts)+1, b[:n])
		if err != nil {
			return nil, err
		}
		parts = append(parts, minio.CompletePart{PartNumber: len(parts) + 1, ETag: etag})
	}
}

func (s *Store) sendPart(ctx context.Context, name, id string, number int, b []byte) (etag string, err error) {
	sum := sha256.Sum256(b)
	sent, err := s.core().PutObjectPart(ctx, s.options.Bucket, s.key(name), id, number, bytes.NewReader(b), int64(len(b)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
	return sent.ETag, err
}

// abort gives up a blob in parts. If that fails Check does it, a day later.
func (s *Store) abort(ctx context.Context, key, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	s.core().AbortMultipartUpload(ctx, s.options.Bucket, key, id)
}

func (s *Store) core() minio.Core { return minio.Core{Client: s.client} }
