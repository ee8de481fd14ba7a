package listener

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay/internal/certs"
)

// serve starts a server that answers with how it was reached.
func serve(t *testing.T, max int64) (addr string, roots *x509.CertPool) {
	t.Helper()
	ca, err := certs.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "tls=%v host=%s body=%s", r.TLS != nil, r.Host, body)
	}), slog.New(slog.DiscardHandler))
	done := make(chan error)
	go func() { done <- srv.Serve(newListener(inner, ca.Config(), max)) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return inner.Addr().String(), ca.Pool()
}

func TestOnePortSpeaksTLSAndPlainHTTP(t *testing.T) {
	addr, roots := serve(t, maxAccepted)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for _, scheme := range []string{"http", "https", "http"} {
		res, err := c.Post(scheme+"://"+addr, "text/plain", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want := fmt.Sprintf("tls=%v host=%s body=hi", scheme == "https", addr)
		if string(body) != want || res.ProtoMajor != 1 {
			t.Errorf("%s: %s %q, want HTTP/1.1 %q", scheme, res.Proto, body, want)
		}
	}
}

func TestHostThatIsAURLIsRepaired(t *testing.T) {
	addr, _ := serve(t, maxAccepted)
	for name, tc := range map[string]struct {
		host   string
		want   string
		closes bool
	}{
		"as it should be": {"bay.example:80", "bay.example:80", false},
		"http":            {"http://bay.example:80", "bay.example:80", true},
		"https, a path":   {"HTTPS://bay.example/x?y", "bay.example", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			// Byte by byte, so that no read holds the whole head.
			for _, b := range []byte("POST /?a=b HTTP/1.1\r\nAccept: */*\r\nhost: " + tc.host + "\r\ncontent-length: 14\r\n\r\nhost: http://x") {
				if _, err := c.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if want := "tls=false host=" + tc.want + " body=host: http://x"; string(body) != want || res.Close != tc.closes {
				t.Errorf("host %s: %q, closes %v; want %q, %v", tc.host, body, res.Close, want, tc.closes)
			}
		})
	}
}

func TestSilentClientsDoNotKeepOthersOut(t *testing.T) {
	addr, _ := serve(t, maxAccepted)
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	get(t, addr)
}

func TestConnectionsPastTheMostAreClosed(t *testing.T) {
	addr, _ := serve(t, 2)
	var open []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("third connection: read %d bytes, error %v; want it closed", n, err)
	}
	for _, c := range open {
		c.Close()
	}
	for { // until the server has seen that they are closed
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(c)
		c.Close()
		if bytes.Contains(answer, []byte("200 OK")) {
			return
		}
	}
}

func get(t *testing.T, addr string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := c.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func FuzzRepairHost(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nhost: http://a:1\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\nHost:https://a/b\nX: y\n\nhost: http://z"))
	f.Add([]byte("\nhost:http://"))
	f.Fuzz(func(t *testing.T, b []byte) {
		once := repairHost(bytes.Clone(b))
		if len(once) > len(b)+len("Host: \r\nConnection: close\r\n") {
			t.Errorf("repairHost(%q) = %q: too long", b, once)
		}
		i := bytes.Index(b, []byte("\n\r\n"))
		if j := bytes.Index(b, []byte("\n\n")); i >= 0 && j < 0 && !bytes.HasSuffix(once, b[i:]) {
			t.Errorf("repairHost(%q) = %q: the body changed", b, once)
		}
	})
}
