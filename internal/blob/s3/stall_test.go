package s3

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

// silent is the endpoint of a server that begins to answer a GET, reads no more
// than the head of any request, and then says nothing any more.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err == nil && r.Method == http.MethodGet {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nETag: \"a\"\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\nhalf")
				}
				<-t.Context().Done()
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestServerThatFallsSilentIsUnavailable(t *testing.T) {
	patience := stall
	stall = 50 * time.Millisecond
	t.Cleanup(func() { stall = patience })
	s, err := Open(Options{Endpoint: silent(t), Bucket: "agentbay", AccessKey: "a", SecretKey: "hidden"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), "a", 0, -1)
	if err == nil {
		_, err = io.ReadAll(r)
		r.Close()
	}
	if !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Get: %v, want Unavailable", err)
	}
	if err := s.Put(t.Context(), "a", strings.NewReader(strings.Repeat("a", 32<<20)), 32<<20); !errors.Is(err, agentbay.Unavailable) {
		t.Errorf("Put: %v, want Unavailable", err)
	}
}
