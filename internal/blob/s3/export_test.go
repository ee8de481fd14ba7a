package s3

import (
	"context"
	"time"
)

// SetSingle sets the largest blob that is put with one request.
func SetSingle(s *Store, size int64) { s.single = size }

// Clean removes what is left of Puts of several parts that began before a time.
func Clean(ctx context.Context, s *Store, before time.Time) error { return s.clean(ctx, before) }
