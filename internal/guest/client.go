package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// maxHeader bounds what a guest may say before an answer's text.
const maxHeader = 16 << 10

// maxSentence bounds a guest's reason for not performing a tool.
const maxSentence = 4 << 10

// A Client is the host's end of the line to one guest. Its methods may be called
// concurrently; connections are kept and used again.
//
// Nothing a guest sends is trusted: answers are made valid UTF-8 while they are
// read, and what should be short is cut off with an error.
type Client struct {
	Dial  func(ctx context.Context) (net.Conn, error) // connects to the guest
	Token string                                      // the guest's secret

	once      sync.Once
	transport *http.Transport
}

// Call performs a tool. It returns when the answer begins; its Body streams, and
// closing the Body, like the end of ctx, stops the tool.
//
// Invalid: the arguments do not fit the tool.
// NotFound: the guest has no such tool.
// Unavailable: the guest does not answer.
func (c *Client) Call(ctx context.Context, call tool.Call) (*tool.Reply, error) {
	res, err := c.post(ctx, "/call/", call)
	if err != nil {
		return nil, err
	}
	return &tool.Reply{Failed: failed(res), Body: body{ValidUTF8(res.Body), res.Body}}, nil
}

// A body is the text of an answer; closing it ends the call.
type body struct {
	io.Reader
	io.Closer
}

// Read explains an answer that breaks off.
func (b body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = agentbay.Wrap(err, agentbay.Unavailable, "the session broke off its answer; try again")
	}
	return n, err
}

// Stream performs a tool as a stream and yields each event, one line of JSON. It
// returns nil when the tool has ended, and fails like Call. An event is valid
// only until yield returns.
func (c *Client) Stream(ctx context.Context, call tool.Call, yield func(event []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.post(ctx, "/stream/", call)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if failed(res) {
		return agentbay.Errorf(agentbay.Invalid, "%s", sentence(res.Body))
	}
	return eachLine(ctx, res.Body, yield)
}

// eachLine yields every line of r that is not empty, at most MaxEvent long.
func eachLine(ctx context.Context, r io.Reader, yield func([]byte) error) error {
	lines := bufio.NewScanner(ValidUTF8(r))
	lines.Buffer(nil, MaxEvent+1)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := yield(lines.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return agentbay.Wrap(lines.Err(), agentbay.Unavailable, "the session broke off its stream; try again")
}

// Health returns nil if tools can be called.
//
// Unavailable: the guest does not answer.
func (c *Client) Health(ctx context.Context) error {
	res, err := c.do(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return refusal(res, "health")
	}
	return nil
}

// CloseIdle closes the connections that carry no call.
func (c *Client) CloseIdle() { c.pool().CloseIdleConnections() }

// post sends a call and returns the answer if the tool was performed.
func (c *Client) post(ctx context.Context, path string, call tool.Call) (*http.Response, error) {
	res, err := c.do(ctx, http.MethodPost, path+url.PathEscape(call.Name), call.Args)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	return nil, refusal(res, call.Name)
}

func (c *Client) do(ctx context.Context, method, path string, args []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://guest"+path, bytes.NewReader(args))
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Invalid, "not the name of a tool")
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	res, err := c.pool().RoundTrip(req)
	return res, c.unreachable(ctx, err)
}

// unreachable is the error of a line that did not come about. What Dial itself
// found wrong, such as a machine that has ended, is said as it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	var known *agentbay.Error
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &known):
		return err
	}
	return agentbay.Wrap(err, agentbay.Unavailable, "the session does not answer; try again")
}

// pool is the connections. An idle one costs memory at both ends, so few are
// kept, and not for long.
func (c *Client) pool() *http.Transport {
	c.once.Do(func() {
		c.transport = &http.Transport{
			DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx) },
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        2 * time.Minute,
			WriteBufferSize:        64 << 10,
			ReadBufferSize:         32 << 10,
		}
	})
	return c.transport
}

func failed(res *http.Response) bool { return res.Header.Get(FailedHeader) == "true" }

// refusal is the error for an answer that says that the tool was not performed.
func refusal(res *http.Response, name string) error {
	switch res.StatusCode {
	case http.StatusNotFound:
		return agentbay.Errorf(agentbay.NotFound, "tool not found: %s", name)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return agentbay.Errorf(agentbay.Invalid, "%s", sentence(res.Body))
	case http.StatusBadGateway:
		return agentbay.Errorf(agentbay.Unavailable, "%s", sentence(res.Body))
	case http.StatusUnauthorized:
		return agentbay.Errorf(agentbay.Internal, "the session does not know this server")
	}
	cause := fmt.Errorf("guest answered with status %d to %s", res.StatusCode, name)
	return agentbay.Wrap(cause, agentbay.Unavailable, "the session gave no sensible answer; try again")
}

// sentence reads a short text of the guest.
func sentence(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(ValidUTF8(r), maxSentence))
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "")
}

// DialPort connects to a TCP port of the session, as if from inside it. The
// connection is independent of ctx once it is there.
//
// Invalid: there is no such port number.
// Unavailable: nothing listens there, or the guest does not answer.
func (c *Client) DialPort(ctx context.Context, port uint16) (net.Conn, error) {
	conn, err := c.Dial(ctx)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	joined, err := c.connect(conn, port)
	if !stop() || err != nil {
		conn.Close()
		return nil, c.unreachable(ctx, err)
	}
	return joined, nil
}

// connect asks for a port over a fresh connection.
func (c *Client) connect(conn net.Conn, port uint16) (net.Conn, error) {
	_, err := fmt.Fprintf(conn, "CONNECT /port/%d HTTP/1.1\r\nHost: guest\r\nAuthorization: Bearer %s\r\n\r\n", port, c.Token)
	if err != nil {
		return nil, err
	}
	head := &io.LimitedReader{R: conn, N: maxHeader}
	in := bufio.NewReader(head)
	res, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(res, "port "+strconv.Itoa(int(port)))
	}
	early, err := in.Peek(in.Buffered()) // what the port said along with the answer
	return &portConn{Conn: conn, early: early}, err
}

// A portConn is a connection of which some bytes were read already.
type portConn struct {
	net.Conn
	early []byte
}

func (p *portConn) Read(b []byte) (int, error) {
	if len(p.early) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.early)
	p.early = p.early[n:]
	return n, nil
}

// CloseWrite says that no more will be written; reading goes on.
func (p *portConn) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
