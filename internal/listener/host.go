package listener

import (
	"bytes"
	"net"
	"regexp"
)

// A repaired connection makes sense of a first request whose Host header is a
// URL, as some clients send it that were given one for an endpoint:
//
//	host: http://bay.example:8080
//
// net/http refuses such a request before anybody can answer. Because later
// requests on the connection would need the same, it is told to end after this
// one. Everything else passes as it is.
type repaired struct {
	net.Conn
	ready []byte // read and not yet passed on
	began bool   // the head of the first request has passed
	err   error  // told once ready is empty
}

// maxRepair is how much of a request's head is searched.
const maxRepair = 16 << 10

func (r *repaired) Read(p []byte) (int, error) {
	if !r.began {
		r.began = true
		r.ready, r.err = readHead(r.Conn)
		r.ready = repairHost(r.ready)
	}
	if len(r.ready) > 0 {
		n := copy(p, r.ready)
		r.ready = r.ready[n:]
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	r.ready = nil
	return r.Conn.Read(p)
}

// readHead reads up to where the head of a request ends, or further, or as far
// as it is searched.
func readHead(c net.Conn) ([]byte, error) {
	head := make([]byte, 0, 2048)
	for len(head) < maxRepair && !endsHead(head) {
		if len(head) == cap(head) {
			head = append(head, 0)[:len(head)]
		}
		n, err := c.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if err != nil {
			return head, err
		}
	}
	return head, nil
}

func endsHead(b []byte) bool {
	return bytes.Contains(b, []byte("\n\r\n")) || bytes.Contains(b, []byte("\n\n"))
}

// hostURL finds a Host header that is a URL, and in it the authority.
var hostURL = regexp.MustCompile(`(?i)\nhost:[ \t]*https?://([^/?#\s]*)[^\r\n]*`)

// repairHost puts the authority alone into the Host header of a request's head.
func repairHost(b []byte) []byte {
	end := len(b)
	for _, blank := range []string{"\n\r\n", "\n\n"} {
		if i := bytes.Index(b[:end], []byte(blank)); i >= 0 {
			end = i + 1
		}
	}
	at := hostURL.FindSubmatchIndex(b[:end])
	if at == nil {
		return b
	}
	out := append([]byte{}, b[:at[0]]...)
	out = append(out, "\nHost: "...)
	out = append(out, b[at[2]:at[3]]...)
	out = append(out, "\r\nConnection: close"...)
	return append(out, b[at[1]:]...)
}
