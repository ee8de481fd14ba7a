package rpc

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// An origin is what the links begin with that are handed to one client, such as
// "https://bay.example:8443".
type origin string

// originOf says how the client of r reaches this door.
func (d *Door) originOf(r *http.Request) origin {
	if d.PublicURL != "" {
		return origin(strings.TrimRight(d.PublicURL, "/"))
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if host, ok := validHost(r.Host); ok {
		return origin(scheme + host)
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return origin(scheme + addr.String())
	}
	return origin(scheme + "localhost")
}

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

// link is where the session's tools can be called directly; empty if its image
// is not given a link.
func (o origin) link(s *agentbay.SessionInfo) string {
	if s.NoLink {
		return ""
	}
	return o.tools(s.ID)
}

// tools is where tools of a session can be called directly.
func (o origin) tools(id agentbay.SessionID) string { return string(o) + "/link/" + string(id) }

// complete is a URL that may be a path at this door.
func (o origin) complete(url string) string {
	if strings.HasPrefix(url, "/") {
		return string(o) + url
	}
	return url
}

// socket is where the session's WebSocket is.
func (o origin) socket(id agentbay.SessionID) string {
	return "ws" + strings.TrimPrefix(string(o), "http") + "/ws/" + string(id)
}

// port is the link to a port of the session, to a WebSocket or an HTTP server there.
func (o origin) port(s *agentbay.SessionInfo, port uint16, socket bool) string {
	path := gate.PortPath(string(s.ID), port, gate.PortToken(s.Token, port))
	if socket {
		return "ws" + strings.TrimPrefix(string(o), "http") + path
	}
	return string(o) + path
}

// page is the session's page for people, of which the bay knows the path. The
// query says what clients look for, and is not heeded.
func (o origin) page(id agentbay.SessionID, path string) string {
	if path == "" {
		path = "/view"
	}
	return o.complete(path) + "?" + url.Values{"resourceId": {resourceID(id)}}.Encode()
}

// resourceID and instanceID are other names of a session that the wire has.
func resourceID(id agentbay.SessionID) string { return "p-" + bare(id) }
func instanceID(id agentbay.SessionID) string { return "ai-" + bare(id) }

func bare(id agentbay.SessionID) string { return strings.TrimPrefix(string(id), "session-") }
