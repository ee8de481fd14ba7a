package rpc

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
)

// An origin is what the links begin with that are handed to one client, such as
// "https://bay.example:8443".
type origin string

// originOf says how the client of r reaches this door.
func (d *Door) originOf(r *http.Request) origin { return origin(gate.Origin(r, d.PublicURL)) }

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
	return gate.Socket(string(o)) + "/ws/" + string(id)
}

// port is the link to a port of the session, to a WebSocket or an HTTP server there.
func (o origin) port(s *agentbay.SessionInfo, port uint16, socket bool) string {
	path := gate.PortPath(string(s.ID), port, gate.PortToken(s.Token, port))
	if socket {
		return gate.Socket(string(o)) + path
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
