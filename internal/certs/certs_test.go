package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/agentbay/agentbay"
)

func open(t *testing.T, dir string, names ...string) (*Authority, *x509.Certificate) {
	t.Helper()
	a, err := Open(dir, names...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.current()
	if err != nil {
		t.Fatal(err)
	}
	return a, pair.Leaf
}

func TestCertificateHoldsForEveryName(t *testing.T) {
	a, leaf := open(t, t.TempDir(), "bay.example", "192.0.2.7", "2001:0db8::1")
	host, _ := os.Hostname()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", host, "bay.example", "192.0.2.7", "2001:db8::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := leaf.VerifyHostname("other.example"); err == nil {
		t.Error("the certificate holds for other.example")
	}
}

func TestCertificateIsKeptWhileItIsGood(t *testing.T) {
	dir := t.TempDir()
	a, first := open(t, dir)
	_, again := open(t, dir)
	if !first.Equal(again) {
		t.Error("opening again made another certificate")
	}
	b, renamed := open(t, dir, "bay.example")
	if first.Equal(renamed) || renamed.VerifyHostname("bay.example") != nil {
		t.Error("a new name did not make a new certificate")
	}
	if !a.cert.Equal(b.cert) {
		t.Error("a new name made another authority")
	}
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, first := open(t, dir)
		time.Sleep(time.Until(first.NotAfter) - renewBefore + time.Second)
		second, err := a.current()
		if err != nil {
			t.Fatal(err)
		}
		if second.Leaf.Equal(first) {
			t.Errorf("a certificate that ends in %s was not renewed", time.Until(first.NotAfter))
		}
		if _, third := open(t, dir); !third.Equal(second.Leaf) {
			t.Error("the new certificate was not kept")
		}
	})
}

func TestSecretsAreForTheirOwner(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	for name, want := range map[string]os.FileMode{
		"ca-key.pem": 0o600, "key.pem": 0o600,
		"ca.pem": 0o644, "cert.pem": 0o644, "ca-bundle.pem": 0o644, "trust.p12": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, error %v; want %v", name, info.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 6 {
		t.Errorf("%d files, error %v; want 6: %v", len(entries), err, entries)
	}
}

func TestTrustHasTheAuthorityAndAllTheHostTrusts(t *testing.T) {
	a, _ := open(t, t.TempDir())
	bundle, err := os.ReadFile(a.BundleFile())
	if err != nil {
		t.Fatal(err)
	}
	if want := append(encodeCert(a.cert.Raw), systemBundle()...); !bytes.Equal(bundle, want) {
		t.Errorf("bundle has %d bytes, want %d", len(bundle), len(want))
	}
	store, err := os.ReadFile(a.TrustFile())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pkcs12.DecodeTrustStore(store, TrustPassword)
	if want := 1 + len(parseAll(systemBundle())); err != nil || len(certs) != want || !certs[0].Equal(a.cert) {
		t.Errorf("trust store has %d certificates, error %v; want %d, the authority first", len(certs), err, want)
	}
}

func TestBrokenAuthorityIsNotReplaced(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"no key": func(dir string) error { return os.Remove(filepath.Join(dir, "ca-key.pem")) },
		"empty":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o644) },
		"another key": func(dir string) error {
			return os.Rename(filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca-key.pem"))
		},
	} {
		dir := t.TempDir()
		open(t, dir)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, agentbay.Invalid) {
			t.Errorf("%s: Open: %v, want Invalid", name, err)
		}
	}
}

func TestGivenCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	_, first := open(t, dir)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	config, err := Given(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if pair, err := config.GetCertificate(nil); err != nil || !pair.Leaf.Equal(first) {
		t.Errorf("not the certificate in the file, error %v", err)
	}
	_, second := open(t, dir, "bay.example")
	later := time.Now().Add(time.Hour) // clocks of file systems are coarse
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if pair, err := config.GetCertificate(nil); err != nil || !pair.Leaf.Equal(second) {
		t.Errorf("not the new certificate, error %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := config.GetCertificate(nil); err != nil {
		t.Errorf("without a key: %v, want the last certificate", err)
	}
	if _, err := Given(cert, key); !errors.Is(err, agentbay.Invalid) {
		t.Errorf("Given without a key: %v, want Invalid", err)
	}
}
