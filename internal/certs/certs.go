// Package certs gives a bay its TLS certificate: one signed by a certificate
// authority of the bay's own, which clients are told to trust, or one the
// operator has.
//
// The directory of an authority holds
//
//	ca.pem         the authority's certificate, for clients
//	ca-bundle.pem  the same and all the host trusts, for clients that want one file
//	trust.p12      the same as a PKCS #12 trust store, with password [TrustPassword]
//	ca-key.pem     the authority's key, secret
//	cert.pem       the bay's certificate
//	key.pem        the bay's key, secret
package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/agentbay/agentbay"
)

// TrustPassword opens the trust store. It is the one Java users know: the store
// holds nothing secret, but what reads
// trust stores asks for a password.
const TrustPassword = "changeit"

// How long certificates are good for, and when the bay's is renewed.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 60 * 24 * time.Hour
	skew          = 24 * time.Hour // clocks of clients may be behind
)

// systemBundles is where hosts keep what they trust.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian
	"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
	"/etc/ssl/ca-bundle.pem",             // openSUSE
	"/etc/ssl/cert.pem",                  // Alpine
}

// An Authority signs the certificate of one bay.
type Authority struct {
	dir   string
	names []string // what the bay is called: host names and IP addresses
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey

	mu   sync.Mutex
	leaf *tls.Certificate // guarded by mu
}

// Open returns the authority of a directory, made there if there is none, for a
// bay that is called localhost, by the host's name and by the names given: host
// names and IP addresses.
//
// Invalid: what is in the directory is not an authority.
func Open(dir string, names ...string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "the directory %s for certificates could not be made", dir)
	}
	a := &Authority{dir: dir, names: allNames(names)}
	if err := a.load(); errors.Is(err, fs.ErrNotExist) {
		if err := a.create(); err != nil {
			return nil, agentbay.Wrap(err, agentbay.Internal, "a certificate authority could not be made in %s", dir)
		}
	} else if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Invalid, "the certificate authority in %s cannot be used; repair it, or move the directory away to have a new one", dir)
	}
	if err := a.writeTrust(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "what clients trust could not be written to %s", dir)
	}
	_, err := a.current()
	return a, err
}

// allNames is every name a bay has.
func allNames(given []string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, host)
	}
	for _, name := range given {
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Config is the TLS of a server with the bay's certificate.
func (a *Authority) Config() *tls.Config {
	return serverConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.current() })
}

func serverConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: get,
	}
}

// CAFile is the authority's certificate, for clients.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.pem") }

// BundleFile is what clients trust that can be told of one file only.
func (a *Authority) BundleFile() string { return filepath.Join(a.dir, "ca-bundle.pem") }

// TrustFile is the PKCS #12 trust store.
func (a *Authority) TrustFile() string { return filepath.Join(a.dir, "trust.p12") }

func (a *Authority) load() error {
	certPEM, err := os.ReadFile(a.CAFile())
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(a.CAFile(), filepath.Join(a.dir, "ca-key.pem"))
	if err != nil {
		return fmt.Errorf("%d bytes of certificate: %w", len(certPEM), hideNotExist(err))
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return errors.New("not the certificate and ECDSA key of an authority")
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

// hideNotExist keeps half an authority from being taken for none: clients may
// trust it already.
func hideNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// create makes the authority. Its key is written first: a certificate without a
// key is of no use.
func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "AgentBay CA " + rand.Text()[:8]},
		NotBefore:             time.Now().Add(-skew),
		NotAfter:              time.Now().Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if err := a.writeKey("ca-key.pem", key); err != nil {
		return err
	}
	a.cert, a.key = cert, key
	return writeFile(a.CAFile(), encodeCert(cert.Raw), 0o644)
}

func sign(template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// current is the bay's certificate, renewed in time.
func (a *Authority) current() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaf == nil {
		// An older server's certificate saves making one; without it one is made.
		if pair, err := tls.LoadX509KeyPair(filepath.Join(a.dir, "cert.pem"), filepath.Join(a.dir, "key.pem")); err == nil {
			a.leaf = &pair
		}
	}
	if a.leaf != nil && a.good(a.leaf.Leaf) {
		return a.leaf, nil
	}
	leaf, err := a.issue()
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Internal, "the bay's certificate could not be made in %s", a.dir)
	}
	a.leaf = leaf
	return leaf, nil
}

// good reports whether a certificate will do for some time.
func (a *Authority) good(cert *x509.Certificate) bool {
	if time.Until(cert.NotAfter) < renewBefore || cert.CheckSignatureFrom(a.cert) != nil {
		return false
	}
	return !slices.ContainsFunc(a.names, func(name string) bool { return cert.VerifyHostname(name) != nil })
}

// issue makes the bay's certificate.
func (a *Authority) issue() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "AgentBay"},
		NotBefore:   time.Now().Add(-skew),
		NotAfter:    earlier(time.Now().Add(leafLife), a.cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range a.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := sign(template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	if err := a.writeKey("key.pem", key); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(a.dir, "cert.pem"), encodeCert(cert.Raw), 0o644); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (a *Authority) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeTrust writes what clients trust who have one file for all they trust.
func (a *Authority) writeTrust() error {
	system := systemBundle()
	bundle := slices.Concat(encodeCert(a.cert.Raw), system)
	old, err := os.ReadFile(a.BundleFile())
	if err == nil && bytes.Equal(old, bundle) && exists(a.TrustFile()) {
		return nil
	}
	store, err := pkcs12.Modern2023.EncodeTrustStore(append([]*x509.Certificate{a.cert}, parseAll(system)...), TrustPassword)
	if err != nil {
		return err
	}
	if err := writeFile(a.TrustFile(), store, 0o644); err != nil {
		return err
	}
	return writeFile(a.BundleFile(), bundle, 0o644)
}

// systemBundle is what the host trusts; nothing, if it is not where it usually is.
func systemBundle() []byte {
	for _, name := range systemBundles {
		if b, err := os.ReadFile(name); err == nil {
			return b
		}
	}
	return nil
}

// parseAll is the certificates of a bundle, without those Go cannot read.
func parseAll(bundle []byte) (certs []*x509.Certificate) {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return certs
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// writeFile replaces a file at once and for good.
func writeFile(name string, b []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Pool is the authority as what a Go client trusts.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}
