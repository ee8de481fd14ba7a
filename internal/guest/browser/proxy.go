package browser

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// proxySchemes are of proxies that Chromium knows, and the ports that they have if
// they do not say.
var proxySchemes = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// upstreamOf is the proxy that a caller wants; nil if there is none.
func upstreamOf(list []tool.BrowserProxy) (*url.URL, error) {
	switch {
	case len(list) == 0:
		return nil, nil
	case len(list) > 1:
		return nil, guest.Failf(guest.BadArgument, "a browser has at most one proxy, not %d", len(list))
	}
	p := list[0]
	switch {
	case p.Type != "" && p.Type != "custom":
		return nil, guest.Failf(guest.BadArgument, "proxies of type %q are a service that this bay does not have; use a proxy of your own, of type custom", clip(p.Type))
	case p.Server == "":
		return nil, guest.Failf(guest.BadArgument, "the proxy has no server; give an address such as http://10.0.0.1:3128")
	}
	server := p.Server
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return nil, guest.Failf(guest.BadArgument, "the proxy's server is no address such as http://10.0.0.1:3128") // it may hold a password
	}
	if proxySchemes[u.Scheme] == "" {
		return nil, guest.Failf(guest.BadArgument, "there is no proxy of the kind %q; use http, https or socks5", clip(u.Scheme))
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), proxySchemes[u.Scheme])
	}
	if p.Username != "" || p.Password != "" {
		u.User = url.UserPassword(p.Username, p.Password)
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}, nil
}

// proxyWithin is how long a proxy may take to answer.
const proxyWithin = 10 * time.Second

// reach finds out whether a proxy is there, if there is to be one. Chromium does
// not until a page is asked for.
func reach(ctx context.Context, upstream *url.URL) error {
	if upstream == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, proxyWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", upstream.Host)
	if err != nil {
		return guest.Failf(guest.Unsuccessful, "the proxy at %s does not answer: %v", upstream.Host, err)
	}
	return conn.Close()
}

// A relay is a proxy on the loopback that passes everything on to one that wants a
// password. Chromium has no switch for passwords, asks people for them, and has
// none for SOCKS; command lines would show them.
type relay struct {
	listener net.Listener
	server   *http.Server
	upstream *url.URL
	dial     func(ctx context.Context, address string) (net.Conn, error)
}

// newRelay starts a relay.
func newRelay(upstream *url.URL) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, upstream: upstream}
	r.dial = r.connect
	if upstream.Scheme == "socks5" {
		password, _ := upstream.User.Password()
		socks, err := proxy.SOCKS5("tcp", upstream.Host, &proxy.Auth{User: upstream.User.Username(), Password: password}, nil)
		if err != nil {
			l.Close()
			return nil, err
		}
		r.dial = func(ctx context.Context, address string) (net.Conn, error) {
			return socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
		}
	}
	plain := &httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		Transport:     &http.Transport{Proxy: http.ProxyURL(upstream)},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodConnect {
			r.tunnel(w, req)
			return
		}
		plain.ServeHTTP(w, req)
	})}
	go r.server.Serve(l)
	return r, nil
}

// close ends the relay. Connections that go through it end with the browser.
func (r *relay) close() { r.server.Close() }

// tunnel connects the browser to an address.
func (r *relay) tunnel(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), proxyWithin)
	defer cancel()
	there, err := r.dial(ctx, req.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, sent, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	go func() {
		io.Copy(there, sent) // what the browser has sent already, first
		there.Close()
		here.Close()
	}()
	io.Copy(here, there)
}

// connect asks an HTTP proxy for a tunnel.
func (r *relay) connect(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.upstream.Host)
	if err != nil {
		return nil, err
	}
	if r.upstream.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: r.upstream.Hostname()})
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	password, _ := r.upstream.User.Password()
	login := base64.StdEncoding.EncodeToString([]byte(r.upstream.User.Username() + ":" + password))
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\nProxy-Authorization: Basic %s\r\n\r\n", address, login); err != nil {
		conn.Close()
		return nil, err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New("the proxy answers " + answer.Status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return buffered{conn, in}, nil
}

// A buffered connection has read ahead.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }
