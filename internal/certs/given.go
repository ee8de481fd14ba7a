package certs

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
)

// Given is the TLS of a server with a certificate the operator has, in PEM
// files. When the files change, as those of ACME clients do, the new ones are
// used from then on.
//
// Invalid: the files are not a certificate and its key.
func Given(certFile, keyFile string) (*tls.Config, error) {
	g := &given{certFile: certFile, keyFile: keyFile}
	if _, err := g.current(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Invalid, "%s and %s are not a certificate and its key: %v", certFile, keyFile, err)
	}
	return serverConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.current() }), nil
}

type given struct {
	certFile, keyFile string

	mu      sync.Mutex
	pair    *tls.Certificate // guarded by mu
	changed time.Time        // when the files last had, as of pair; guarded by mu
}

// current is the certificate in the files. If they cannot be read, the last one
// that could be has to do.
func (g *given) current() (*tls.Certificate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := later(modified(g.certFile), modified(g.keyFile))
	if g.pair != nil && changed.Equal(g.changed) {
		return g.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(g.certFile, g.keyFile)
	if err != nil && g.pair != nil {
		return g.pair, nil
	}
	if err != nil {
		return nil, err
	}
	g.pair, g.changed = &pair, changed
	return g.pair, nil
}

func modified(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
