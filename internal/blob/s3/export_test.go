package s3

import (
	"context"
	"time"
)

// SetPart makes a store send blobs in parts that are larger than one, which must
// have 5 MiB.
func SetPart(s *Store, size int64) { s.single, s.part = size, size }

// Clean removes what is left of Puts of several parts that began before a time.
func Clean(ctx context.Context, s *Store, before time.Time) error { return s.clean(ctx, before) }
