package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
	"github.com/agentbay/agentbay/internal/blob/dir"
	"github.com/agentbay/agentbay/internal/blob/s3"
	"github.com/agentbay/agentbay/internal/contexts/index"
	"github.com/agentbay/agentbay/internal/contexts/tree"
)

// storageOptions are the flags of a server about what contexts are kept in.
type storageOptions struct {
	blobDir   string
	bucket    s3.Options
	cache     string
	cacheSize int64
	snapshots int
	history   time.Duration
	maxPerKey int64
}

func (o *storageOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.blobDir, "blob-dir", "", "directory that contexts are kept in (default DATA/blobs)")
	f.StringVar(&o.bucket.Endpoint, "s3-endpoint", "", "keep contexts in a bucket of this S3-compatible server instead, such as https://s3.example.com; its keys are AGENTBAY_S3_ACCESS_KEY and AGENTBAY_S3_SECRET_KEY in the environment")
	f.StringVar(&o.bucket.Bucket, "s3-bucket", "", "the bucket, which must exist")
	f.StringVar(&o.bucket.Region, "s3-region", "", "region of the bucket (default us-east-1)")
	f.StringVar(&o.bucket.Prefix, "s3-prefix", "", "what objects' names begin with, if the bucket is used for other things as well")
	f.StringVar(&o.bucket.PublicEndpoint, "s3-public-endpoint", "", "URL under which clients reach the S3 server: files that are put and got by URL then travel between the two (default: through agentbay)")
	f.StringVar(&o.cache, "context-cache", "", "directory of what sessions have mounted lately; on the same disk as DATA it is fastest (default DATA/checkouts)")
	o.cacheSize = 50 << 30
	f.Var((*byteSize)(&o.cacheSize), "context-cache-size", "what no session has mounted is removed from it when it holds more; 0 means never")
	f.IntVar(&o.snapshots, "context-snapshots", 20, "how many earlier states of a context are kept")
	f.DurationVar(&o.history, "context-history", 30*24*time.Hour, "how long earlier states are kept")
	f.Var((*byteSize)(&o.maxPerKey), "max-storage-per-key", "bytes in contexts for a key without a quota of its own; 0 means no limit")
}

// Credentials are in the environment alone: command lines are seen by everybody
// on the host.
const (
	s3AccessKey = "AGENTBAY_S3_ACCESS_KEY"
	s3SecretKey = "AGENTBAY_S3_SECRET_KEY"
)

// check refuses what cannot be meant, and reads the credentials.
func (o *storageOptions) check() error {
	if o.snapshots < 1 || o.history <= 0 {
		return agentbay.Errorf(agentbay.Invalid, "--context-snapshots and --context-history are above 0; the current state is always kept")
	}
	if o.bucket.Endpoint == "" {
		return o.checkNoBucket()
	}
	if o.blobDir != "" {
		return agentbay.Errorf(agentbay.Invalid, "contexts are kept in --blob-dir or in --s3-endpoint; leave one of the two out")
	}
	if o.bucket.Bucket == "" {
		return agentbay.Errorf(agentbay.Invalid, "--s3-endpoint needs --s3-bucket, the name of a bucket there")
	}
	o.bucket.AccessKey, o.bucket.SecretKey = os.Getenv(s3AccessKey), os.Getenv(s3SecretKey)
	if o.bucket.AccessKey == "" || o.bucket.SecretKey == "" {
		return agentbay.Errorf(agentbay.Invalid, "--s3-endpoint needs %s and %s in the environment", s3AccessKey, s3SecretKey)
	}
	if err := checkEndpoint("--s3-endpoint", o.bucket.Endpoint); err != nil || o.bucket.PublicEndpoint == "" {
		return err
	}
	return checkEndpoint("--s3-public-endpoint", o.bucket.PublicEndpoint)
}

func (o *storageOptions) checkNoBucket() error {
	if o.bucket != (s3.Options{}) {
		return agentbay.Errorf(agentbay.Invalid, "the --s3 flags need --s3-endpoint, the URL of the server")
	}
	return nil
}

func checkEndpoint(flag, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return agentbay.Errorf(agentbay.Invalid, "%s is not a URL such as https://s3.example.com, without a password", flag)
	}
	return nil
}

// A storage is what contexts are kept in, open.
type storage struct {
	blobs  blob.Store
	direct blob.Presigner // blobs, if clients reach it; else nil
	chunks *index.File
	trees  *tree.Cache
	opened []io.Closer
}

// Close closes what was opened.
func (s *storage) Close() (err error) {
	for _, c := range slices.Backward(s.opened) {
		err = errors.Join(err, c.Close())
	}
	return err
}

// openStorage opens what contexts are kept in.
func (a *app) openStorage(ctx context.Context, o *storageOptions, log *slog.Logger) (*storage, error) {
	s := new(storage)
	if err := s.open(ctx, a, o, log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *storage) open(ctx context.Context, a *app, o *storageOptions, log *slog.Logger) (err error) {
	if s.blobs, err = a.openBlobs(ctx, o, log); err != nil {
		return err
	}
	if c, ok := s.blobs.(io.Closer); ok {
		s.opened = append(s.opened, c)
	}
	if o.bucket.PublicEndpoint != "" {
		s.direct, _ = s.blobs.(blob.Presigner)
	}
	if s.chunks, err = index.Open(ctx, a.path("chunks.db")); err != nil {
		return err
	}
	s.opened = append(s.opened, s.chunks)
	if s.trees, err = tree.OpenCache(cmp.Or(o.cache, a.path("checkouts")), o.cacheSize); err != nil {
		return err
	}
	s.opened = append(s.opened, s.trees)
	return nil
}

// openBlobs opens the directory or the bucket. A bucket that cannot be reached
// now is no reason not to serve, as sessions without contexts need none; one that
// does not let us in is a mistake in the flags.
func (a *app) openBlobs(ctx context.Context, o *storageOptions, log *slog.Logger) (blob.Store, error) {
	if o.bucket.Endpoint == "" {
		return dir.Open(cmp.Or(o.blobDir, a.path("blobs")))
	}
	bucket, err := s3.Open(o.bucket)
	if err != nil {
		return nil, err
	}
	err = bucket.Check(ctx)
	switch {
	case s3.Refused(err):
		return nil, agentbay.Errorf(agentbay.Invalid, "%s", agentbay.MessageOf(err))
	case errors.Is(err, agentbay.Unavailable):
		log.Error("contexts cannot be used until their bucket can be reached", "bucket", o.bucket.String(), "err", err)
	case err != nil:
		return nil, err
	}
	return bucket, nil
}
