package s3

import (
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/agentbay/agentbay"
)

func TestOptionsThatAreNotWellFormedAreInvalid(t *testing.T) {
	good := Options{Endpoint: "http://127.0.0.1:1", Bucket: "agentbay", AccessKey: "a", SecretKey: "hidden"}
	if _, err := Open(good); err != nil {
		t.Fatalf("Open of good options: %v", err)
	}
	for what, change := range map[string]func(*Options){
		"no endpoint":             func(o *Options) { o.Endpoint = "" },
		"no scheme":               func(o *Options) { o.Endpoint = "s3.example.com" },
		"another scheme":          func(o *Options) { o.Endpoint = "ftp://s3.example.com" },
		"a path":                  func(o *Options) { o.Endpoint = "https://s3.example.com/agentbay" },
		"a password":              func(o *Options) { o.Endpoint = "https://a:hidden@s3.example.com" },
		"a password and no URL":   func(o *Options) { o.Endpoint = "https://a:hidden@s3 example.com" },
		"a bad public endpoint":   func(o *Options) { o.PublicEndpoint = "s3" },
		"no bucket":               func(o *Options) { o.Bucket = "" },
		"a bucket with a slash":   func(o *Options) { o.Bucket = "a/b" },
		"a bad prefix":            func(o *Options) { o.Prefix = "../a" },
		"no access key":           func(o *Options) { o.AccessKey = "" },
		"no secret key":           func(o *Options) { o.SecretKey = "" },
		"an unknown addressing":   func(o *Options) { o.Addressing = "star" },
		"an endpoint and a query": func(o *Options) { o.Endpoint = "https://s3.example.com?a=b" },
	} {
		o := good
		change(&o)
		_, err := Open(o)
		if agentbay.CodeOf(err) != agentbay.Invalid {
			t.Errorf("Open with %s: %v, want Invalid", what, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("Open with %s tells the secret: %v", what, err)
		}
	}
}

func TestErrorsHaveTheCodeOfWhatToDo(t *testing.T) {
	s, err := Open(Options{Endpoint: "http://127.0.0.1:1", Bucket: "agentbay", AccessKey: "key-a", SecretKey: "hidden"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		code   string
		status int
		want   agentbay.Code
		says   string
	}{
		{"NoSuchKey", 404, agentbay.NotFound, "there is none"},
		{"NoSuchWebsiteConfiguration", 404, agentbay.Internal, "refuses"},
		{"NoSuchBucket", 404, agentbay.Unavailable, "no bucket agentbay on http://127.0.0.1:1"},
		{"AccessDenied", 403, agentbay.Unavailable, "key-a has not all rights"},
		{"InvalidAccessKeyId", 403, agentbay.Unavailable, "does not know the access key key-a"},
		{"SignatureDoesNotMatch", 403, agentbay.Unavailable, "not that of access key key-a"},
		{"RequestTimeTooSkewed", 403, agentbay.Unavailable, "clocks"},
		{"AuthorizationHeaderMalformed", 400, agentbay.Unavailable, "region us-east-1"},
		{"PermanentRedirect", 301, agentbay.Unavailable, "region us-east-1"},
		{"QuotaExceeded", 403, agentbay.Exhausted, "full"},
		{"XMinioStorageFull", 507, agentbay.Exhausted, "full"},
		{"InsufficientStorage", 507, agentbay.Exhausted, "full"},
		{"XAmzContentSHA256Mismatch", 400, agentbay.Unavailable, "try again"},
		{"SlowDown", 503, agentbay.Unavailable, "try again"},
		{"InternalError", 500, agentbay.Unavailable, "try again"},
		{"TooManyRequests", 429, agentbay.Unavailable, "try again"},
		{"EntityTooLarge", 400, agentbay.Internal, "refuses"},
	} {
		err := s.failure(t.Context(), minio.ErrorResponse{Code: test.code, StatusCode: test.status}, "blob a")
		if agentbay.CodeOf(err) != test.want || !strings.Contains(agentbay.MessageOf(err), test.says) {
			t.Errorf("%s (%d) becomes %s %q, want %s and %q", test.code, test.status, agentbay.CodeOf(err), err, test.want, test.says)
		}
		if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s tells the secret: %v", test.code, err)
		}
	}
}

func TestWrongSettingsAreToldFromTrouble(t *testing.T) {
	s, err := Open(Options{Endpoint: "http://127.0.0.1:1", Bucket: "agentbay", AccessKey: "key-a", SecretKey: "hidden"})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]bool{"NoSuchBucket": true, "SignatureDoesNotMatch": true, "SlowDown": false, "NoSuchKey": false} {
		err := s.failure(t.Context(), minio.ErrorResponse{Code: code, StatusCode: 404}, "blob a")
		if Refused(err) != want {
			t.Errorf("%s is refused: %t, want %t", code, !want, want)
		}
	}
	if err := s.Check(t.Context()); err == nil || Refused(err) {
		t.Errorf("Check where nobody listens: %v, which is not refused", err)
	}
}

func TestRangesAreAskedForAndChecked(t *testing.T) {
	for _, test := range []struct {
		offset, n int64
		want      string
	}{
		{0, -1, ""},
		{5, -1, "bytes=5-"},
		{0, 1, "bytes=0-0"},
		{5, 10, "bytes=5-14"},
		{5, 1<<63 - 1, "bytes=5-"},
	} {
		if got := rangeOf(test.offset, test.n); got != test.want {
			t.Errorf("%d bytes from %d are asked for by %q, want %q", test.n, test.offset, got, test.want)
		}
	}
	if n, err := lengthOf("bytes 5-14/100", 5); err != nil || n != 10 {
		t.Errorf("bytes 5-14/100 are %d, %v, want 10", n, err)
	}
	for _, bad := range []string{"", "bytes 0-14/100", "bytes 5-4/100", "bytes */100", "lines 5-14/100"} {
		if n, err := lengthOf(bad, 5); err == nil {
			t.Errorf("%q is taken as %d bytes from 5, want an error", bad, n)
		}
	}
}

func TestURLsExpireInTime(t *testing.T) {
	for _, expires := range []time.Duration{-time.Second, 0, time.Millisecond, 8 * 24 * time.Hour} {
		if err := checkURL("a", expires); agentbay.CodeOf(err) != agentbay.Invalid {
			t.Errorf("a URL that expires after %v: %v, want Invalid", expires, err)
		}
	}
	if err := checkURL("../a", time.Hour); agentbay.CodeOf(err) != agentbay.Invalid {
		t.Errorf("a URL for a bad name: %v, want Invalid", err)
	}
}
