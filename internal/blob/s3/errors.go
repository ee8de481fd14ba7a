package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/agentbay/agentbay"
)

// refusals is what an S3 server says that is set up otherwise than our options,
// and what to do. {…} stands for an option. A caller of a bay can only try again,
// when somebody has done that.
var refusals = map[string]string{
	minio.NoSuchBucket:                 "there is no bucket {bucket} on {endpoint}; make it, or correct its name",
	minio.InvalidAccessKeyID:           "{endpoint} does not know the access key {access}; correct it",
	"XAdminUserNotFound":               "{endpoint} does not know the access key {access}; correct it", // VersityGW
	minio.SignatureDoesNotMatch:        "the secret key is not that of access key {access}; correct it",
	minio.AccessDenied:                 "access key {access} has not all rights in bucket {bucket}; let it list the bucket, and get, put and delete objects",
	minio.AllAccessDisabled:            "all access to bucket {bucket} is disabled; ask who keeps it",
	minio.RequestTimeTooSkewed:         "the clocks of this host and of {endpoint} differ; set them",
	minio.AuthorizationHeaderMalformed: "bucket {bucket} is not in region {region}; set the right one",
	minio.InvalidRegion:                "bucket {bucket} is not in region {region}; set the right one",
	"PermanentRedirect":                "bucket {bucket} is not in region {region}, or has another endpoint; set the right one",
	"MovedPermanently":                 "bucket {bucket} is not in region {region}, or has another endpoint; set the right one",
}

// garbled is what S3 servers say of content that changed or was cut on the way.
var garbled = []string{"BadDigest", "IncompleteBody", "InvalidDigest", "RequestTimeout", "XAmzContentSHA256Mismatch", "XMinioContentSHA256Mismatch"}

// full is what S3 servers say that have no room.
var full = []string{"InsufficientStorage", "QuotaExceeded", "StorageQuotaExceeded", "BucketQuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "StorageFull"}

// failure is err, which came of a request, with what a caller can do about it.
func (s *Store) failure(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	what := fmt.Sprintf(format, args...)
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return agentbay.Wrap(err, agentbay.Unavailable, "%s: %s", what, s.unreachable(err))
	}
	why, refused := refusals[answer.Code]
	switch {
	case refused:
		return agentbay.Wrap(err, agentbay.Unavailable, "%s: %s", what, s.expand(why))
	case answer.Code == minio.NoSuchKey: // and no other 404, lest a blob seems lost
		return agentbay.Wrap(err, agentbay.NotFound, "%s: there is none", what)
	case answer.StatusCode == http.StatusInsufficientStorage || slices.Contains(full, answer.Code):
		return agentbay.Wrap(err, agentbay.Exhausted, "%s: the S3 server is full; delete what is not needed, or add room", what)
	case slices.Contains(garbled, answer.Code):
		return agentbay.Wrap(err, agentbay.Unavailable, "%s: it was damaged on the way to %s; try again", what, s.options.Endpoint)
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout:
		return agentbay.Wrap(err, agentbay.Unavailable, "%s: %s; try again, and if that does not help, look at its log", what, s.expand("{endpoint} has failed"))
	}
	return agentbay.Wrap(fmt.Errorf("%s (%d): %w", answer.Code, answer.StatusCode, err), agentbay.Internal, "%s: %s", what, s.expand("{endpoint} refuses the request"))
}

// Refused reports whether a failure is what the server says of how the store is
// set up, which only a person can change. Else it was not reached, or has failed.
func Refused(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && refusals[answer.Code] != ""
}

// unreachable says why there was no answer.
func (s *Store) unreachable(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
	)
	switch {
	case errors.As(err, &authority):
		return s.expand("this host does not trust the certificate of {endpoint}; add its authority to the system's, or to the file that SSL_CERT_FILE names")
	case errors.As(err, &hostname):
		return s.expand("the certificate of {endpoint} is for another host; correct the endpoint")
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return s.expand("{endpoint} does not speak TLS; write http:// in the endpoint")
	}
	return s.expand("{endpoint} cannot be reached; start the server, or correct the endpoint")
}

func (s *Store) expand(sentence string) string {
	o := s.options
	return strings.NewReplacer("{endpoint}", o.Endpoint, "{bucket}", o.Bucket, "{region}", o.Region, "{access}", o.AccessKey).Replace(sentence)
}

// beyond reports whether err is that a part begins where a blob has ended.
func beyond(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusRequestedRangeNotSatisfiable || answer.Code == minio.InvalidRange)
}

// unlessUnknown is err, unless that is that the server does not know the request.
func (s *Store) unlessUnknown(ctx context.Context, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && (answer.Code == minio.NotImplemented || answer.Code == minio.NoSuchUpload || answer.StatusCode == http.StatusMethodNotAllowed) {
		return nil
	}
	return s.failure(ctx, err, "what is left of killed uploads cannot be removed")
}
