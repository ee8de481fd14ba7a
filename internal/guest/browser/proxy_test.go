package browser

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/agentbay/agentbay/tool"
)

// A checkpoint is a proxy that lets through who knows the password, to one place
// wherever they want to go, and remembers where they wanted to.
type checkpoint struct {
	target string // host and port
	came   chan string
}

const user, password = "Ann", "s3cret:/@"

// asHTTP is the checkpoint as an HTTP proxy.
func (c checkpoint) asHTTP(t *testing.T) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)) {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		c.came <- r.Method + " " + r.Host
		if r.Method != http.MethodConnect {
			httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: c.target}).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusOK)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.pass(conn)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// pass carries bytes to the target.
func (c checkpoint) pass(conn net.Conn) {
	there, err := net.Dial("tcp", c.target)
	if err != nil {
		conn.Close()
		return
	}
	go func() { io.Copy(there, conn); there.Close() }()
	io.Copy(conn, there)
	conn.Close()
}

// asSOCKS is the checkpoint as a SOCKS5 proxy (RFC 1928 and 1929).
func (c checkpoint) asSOCKS(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if name, ok := greet(conn); ok {
					c.came <- "SOCKS " + name
					c.pass(conn)
				}
				conn.Close()
			}()
		}
	}()
	return "socks5://" + l.Addr().String()
}

// greet is the beginning of a SOCKS connection.
func greet(conn net.Conn) (name string, ok bool) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	read(int(read(2)[1]))
	conn.Write([]byte{5, 2}) // a password is wanted
	who := string(read(int(read(2)[1])))
	word := string(read(int(read(1)[0])))
	if who != user || word != password {
		conn.Write([]byte{1, 1})
		return "", false
	}
	conn.Write([]byte{1, 0})
	if kind := read(4)[3]; kind != 3 { // a name, which the proxy is to look up
		return fmt.Sprintf("an address of kind %d", kind), true
	}
	name = string(read(int(read(1)[0])))
	port := binary.BigEndian.Uint16(read(2))
	conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return fmt.Sprintf("%s:%d", name, port), true
}

func TestAProxyWithAPasswordIsGoneThrough(t *testing.T) {
	at, err := url.Parse(site(t))
	must(t, err)
	for _, kind := range []string{"http", "socks5"} {
		c := checkpoint{target: at.Host, came: make(chan string, 100)}
		server := c.asHTTP(t)
		want := []string{"GET far.invalid", "CONNECT far.invalid:443"}
		if kind == "socks5" {
			server, want = c.asSOCKS(t), []string{"SOCKS far.invalid:80", "SOCKS far.invalid:443"}
		}
		b := newBrowser(t)
		_, failure := call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless, Proxies: []tool.BrowserProxy{{Type: "custom", Server: server, Username: user, Password: password}}})
		if failure != "" {
			t.Fatal(failure)
		}
		if text, failure := goTo(t, b, "http://far.invalid/plain"); !strings.Contains(text, `"Plain"`) {
			t.Errorf("%s: %q, %s", kind, text, failure)
		}
		goTo(t, b, "https://far.invalid/plain") // which speaks no TLS
		var came []string
		for len(c.came) > 0 {
			came = append(came, <-c.came)
		}
		for _, w := range want {
			if !slices.Contains(came, w) {
				t.Errorf("%s: through it went %q, not %s", kind, came, w)
			}
		}
		if strings.Contains(strings.Join(b.running.cmd.Args, " "), "s3cret") {
			t.Error("the password is on the command line")
		}
		_, failure = call(t, b, tool.OpenBrowser, tool.BrowserIn{CmdArgs: headless, Proxies: []tool.BrowserProxy{{Server: server, Username: user, Password: "wrong"}}})
		if failure != "" {
			t.Fatal(failure)
		}
		if text, _ := goTo(t, b, "http://far.invalid/plain"); strings.Contains(text, "Plain") {
			t.Errorf("%s: with a wrong password: %q", kind, text)
		}
	}
}
