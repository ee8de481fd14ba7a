package guest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// connectPort joins the caller to a port of the session.
func connectPort(w http.ResponseWriter, r *http.Request) {
	port, err := strconv.ParseUint(r.PathValue("number"), 10, 16)
	if err != nil || port == 0 {
		http.Error(w, "no such port: "+strconv.Quote(r.PathValue("number")), http.StatusBadRequest)
		return
	}
	inside, err := dialLocal(r.Context(), strconv.FormatUint(port, 10))
	if err != nil {
		http.Error(w, "nothing listens on port "+strconv.FormatUint(port, 10), http.StatusBadGateway)
		return
	}
	defer inside.Close()
	outside, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer outside.Close()
	outside.SetDeadline(time.Time{})
	if _, err := io.WriteString(outside, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	join(inside, outside, buffered)
}

// dialLocal connects to what listens inside the session, on IPv4 or else IPv6.
func dialLocal(ctx context.Context, port string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	for _, host := range []string{"127.0.0.1", "::1"} {
		if c, err = d.DialContext(ctx, "tcp", net.JoinHostPort(host, port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// join copies both ways until both ends are done. An end that stops sending may
// go on receiving.
func join(inside, outside net.Conn, fromOutside io.Reader) {
	var both sync.WaitGroup
	both.Go(func() { pour(inside, fromOutside) })
	both.Go(func() { pour(outside, inside) })
	both.Wait()
}

// pour copies src to dst and then says to dst that there is no more. If dst
// takes no more, it says so to nobody: the other direction ends by itself.
func pour(dst net.Conn, src io.Reader) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		half.CloseWrite()
		return
	}
	dst.Close()
}
