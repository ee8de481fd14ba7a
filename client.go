package agentbay

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Client talks to a bay in the name of one API key. It is safe for
// concurrent use; make it with [NewClient].
type Client struct {
	endpoint *url.URL
	key      string
	timeout  time.Duration
	http     *http.Client

	mu    sync.Mutex
	links map[SessionID]link // guarded by mu; how to call tools in sessions seen so far
}

// DefaultTimeout is how long a call that is not a tool call may take.
const DefaultTimeout = 60 * time.Second

// An Option changes how [NewClient] makes a Client.
type Option func(*options)

type options struct {
	endpoint, key, caFile string
	timeout               time.Duration
	http                  *http.Client
}

// WithEndpoint says where the bay is: "host:port", which means HTTPS, or a URL
// that starts with http:// or https://. The default is $AGENTBAY_ENDPOINT.
func WithEndpoint(endpoint string) Option { return func(o *options) { o.endpoint = endpoint } }

// WithKey gives the API key. The default is $AGENTBAY_API_KEY.
func WithKey(key string) Option { return func(o *options) { o.key = key } }

// WithCAFile trusts the certificates in a PEM file besides the system's. The
// default is $AGENTBAY_CA_FILE.
func WithCAFile(name string) Option { return func(o *options) { o.caFile = name } }

// WithTimeout limits each call that is not a tool call; tool calls last as long
// as their context. The default is $AGENTBAY_TIMEOUT_MS, else [DefaultTimeout].
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithHTTPClient replaces the HTTP client. Its Timeout, if any, also cuts tool calls.
func WithHTTPClient(c *http.Client) Option { return func(o *options) { o.http = c } }

// NewClient makes a Client. It sends nothing; what is missing or malformed is Invalid.
func NewClient(opts ...Option) (*Client, error) {
	o, err := optionsFromEnv()
	if err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt(&o)
	}
	if o.key == "" {
		return nil, Errorf(Invalid, "no API key: set AGENTBAY_API_KEY, or pass agentbay.WithKey")
	}
	endpoint, err := parseEndpoint(o.endpoint)
	if err != nil {
		return nil, err
	}
	if o.http == nil {
		if o.http, err = newHTTPClient(o.caFile); err != nil {
			return nil, err
		}
	}
	return &Client{endpoint: endpoint, key: o.key, timeout: o.timeout, http: o.http, links: map[SessionID]link{}}, nil
}

func optionsFromEnv() (options, error) {
	o := options{
		endpoint: os.Getenv("AGENTBAY_ENDPOINT"),
		key:      os.Getenv("AGENTBAY_API_KEY"),
		caFile:   os.Getenv("AGENTBAY_CA_FILE"),
	}
	ms, err := strconv.Atoi(cmp.Or(os.Getenv("AGENTBAY_TIMEOUT_MS"), strconv.Itoa(int(DefaultTimeout/time.Millisecond))))
	if err != nil || ms <= 0 {
		return o, Errorf(Invalid, "AGENTBAY_TIMEOUT_MS is %q; it must be a number of milliseconds above 0", os.Getenv("AGENTBAY_TIMEOUT_MS"))
	}
	o.timeout = time.Duration(ms) * time.Millisecond
	return o, nil
}

func parseEndpoint(s string) (*url.URL, error) {
	if s == "" {
		return nil, Errorf(Invalid, "no endpoint: set AGENTBAY_ENDPOINT to the bay's host:port, or pass agentbay.WithEndpoint")
	}
	full := s
	if !strings.Contains(s, "://") {
		full = "https://" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, Errorf(Invalid, "endpoint %q is not host:port, http://host:port or https://host:port", s)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil
}

// newHTTPClient makes an HTTP client for many calls to one host.
func newHTTPClient(caFile string) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	if caFile == "" {
		return &http.Client{Transport: t}, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, Wrap(err, Invalid, "the CA file cannot be read; AGENTBAY_CA_FILE must name a PEM file")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, Errorf(Invalid, "the CA file %s holds no PEM certificate", caFile)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return &http.Client{Transport: t}, nil
}
