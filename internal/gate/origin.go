package gate

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Origin is what the links begin with that are handed to who sent r, such as
// "https://bay.example:8443": publicURL or, if that is empty, as r came in.
func Origin(r *http.Request, publicURL string) string {
	if publicURL != "" {
		return strings.TrimRight(publicURL, "/")
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if host, ok := validHost(r.Host); ok {
		return scheme + host
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return scheme + addr.String()
	}
	return scheme + "localhost"
}

// Socket is a link as a WebSocket's: "wss://" for "https://", "ws://" for "http://".
func Socket(link string) string { return "ws" + strings.TrimPrefix(link, "http") }

var hostName = regexp.MustCompile(`^[0-9A-Za-z._-]{1,253}$`)

// validHost reports whether a Host header can be put in a link.
func validHost(host string) (string, bool) {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || u.User != nil {
		return "", false
	}
	name := u.Hostname()
	return host, net.ParseIP(name) != nil || hostName.MatchString(name)
}
