package gate

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
)

func TestOriginIsWhereTheClientCame(t *testing.T) {
	for name, tc := range map[string]struct {
		host, public, want string
		tls                bool
	}{
		"by name":         {host: "bay.example:8443", want: "http://bay.example:8443"},
		"by TLS":          {host: "bay.example", tls: true, want: "https://bay.example"},
		"by IPv6 address": {host: "[::1]:80", want: "http://[::1]:80"},
		"public":          {host: "10.0.0.1", public: "https://bay.example/", want: "https://bay.example"},
		"no host":         {host: `a"b`, want: "http://10.0.0.2:80"},
		"a path":          {host: "bay.example/x", tls: true, want: "https://10.0.0.2:80"},
		"a user":          {host: "a@bay.example", want: "http://10.0.0.2:80"},
	} {
		r := (&http.Request{Host: tc.host}).WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey,
			net.Addr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 80})))
		if tc.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if got := Origin(r, tc.public); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
