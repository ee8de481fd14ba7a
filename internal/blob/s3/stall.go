package s3

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// stall is how long a server may take nothing and give nothing before it is taken
// for dead; a variable so that tests need not wait. It is longer than an answer
// may take to begin, and than an idle connection is kept.
var stall = 2 * time.Minute

// transport is what requests go over: the library's, on connections that do not
// wait for ever.
func transport(secure bool) (*http.Transport, error) {
	t, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	dial, patience := t.DialContext, stall
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn{c, patience}, nil
	}
	return t, nil
}

// A conn fails when nothing has moved on it for a while.
type conn struct {
	net.Conn
	patience time.Duration
}

func (c conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write gives who waits for the answer more time as well.
func (c conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
