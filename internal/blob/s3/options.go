package s3

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/blob"
)

// Options say which bucket it is. They can be printed: the secret key is not.
type Options struct {
	Endpoint       string // the server: https://s3.example.com
	PublicEndpoint string // where clients reach it; empty means at Endpoint
	Region         string // empty means us-east-1
	Bucket         string // must exist
	Prefix         string // what objects' names begin with; empty means nothing
	AccessKey      string
	SecretKey      string `json:"-"`
	Addressing     Addressing
}

// An Addressing says where in a URL the bucket is.
type Addressing string

// The addressings. The zero Addressing is by host for services that are known to
// want that, and by path for all others.
const (
	ByPath Addressing = "path" // https://s3.example.com/bucket/name
	ByHost Addressing = "host" // https://bucket.s3.example.com/name
)

var lookups = map[Addressing]minio.BucketLookupType{
	"":     minio.BucketLookupAuto,
	ByPath: minio.BucketLookupPath,
	ByHost: minio.BucketLookupDNS,
}

// String returns what may be logged of o.
func (o Options) String() string {
	return strings.TrimSuffix(o.Endpoint, "/") + "/" + o.Bucket + "/" + o.Prefix
}

// GoString returns what may be logged of o.
func (o Options) GoString() string { return o.String() }

// complete returns o with what is left out, if it is well-formed.
func (o Options) complete() (Options, error) {
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Prefix != "" {
		o.Prefix = strings.TrimSuffix(o.Prefix, "/") + "/"
		if err := blob.CheckName(strings.TrimSuffix(o.Prefix, "/")); err != nil {
			return o, agentbay.Wrap(err, agentbay.Invalid, "the S3 prefix %q cannot be used: %s", o.Prefix, agentbay.MessageOf(err))
		}
	}
	if err := s3utils.CheckValidBucketName(o.Bucket); err != nil {
		return o, agentbay.Wrap(err, agentbay.Invalid, "%q cannot be the name of an S3 bucket; correct it", o.Bucket)
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return o, agentbay.Errorf(agentbay.Invalid, "the S3 store needs an access key and a secret key")
	}
	if _, ok := lookups[o.Addressing]; !ok {
		return o, agentbay.Errorf(agentbay.Invalid, "S3 buckets cannot be addressed by %q; there is %q", o.Addressing, slices.Sorted(maps.Keys(lookups)))
	}
	return o, nil
}

// parse takes the URL of a server apart.
func parse(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, agentbay.Errorf(agentbay.Invalid, "the S3 endpoint is not a URL; write it like https://s3.example.com") // err may have a password in it
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, agentbay.Errorf(agentbay.Invalid, "the S3 endpoint %q has no http:// or https:// and host; write it like https://s3.example.com", u.Redacted())
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, agentbay.Errorf(agentbay.Invalid, "the S3 endpoint %q has more than a host and a port; keys, bucket and prefix have options of their own", u.Redacted())
	}
	return u, nil
}
