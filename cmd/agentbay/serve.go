package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/certs"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/listener"
	"github.com/agentbay/agentbay/internal/objects"
	"github.com/agentbay/agentbay/internal/proxy"
	"github.com/agentbay/agentbay/internal/rpc"
	"github.com/agentbay/agentbay/internal/rrweb"
	"github.com/agentbay/agentbay/internal/view"
)

func (a *app) serveCommand() *cobra.Command {
	o := &serveOptions{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server in the foreground",
		Long: `Run the server until it is told to stop by SIGTERM or SIGINT. Sessions go on without
it, and the next server on the same data directory takes them over.

When it listens it prints one line, "bay at URL". Its log is DATA/log/server.jsonl,
and on the terminal if there is one.`,
		Example: `  agentbay serve
  agentbay serve --listen :8443 --tls-name bay.example.com --max-sessions 50
  agentbay serve --listen :8443 --tls-cert cert.pem --tls-key key.pem --public-url https://bay.example.com:8443
  agentbay serve --image-runtime linux_latest=runc --warm code_latest=2`,
		Args: cobra.NoArgs,
		RunE: withContext(func(ctx context.Context, _ []string) error { return a.serve(ctx, o) }),
	}
	o.flags(c.Flags())
	return c
}

// serve runs a server until ctx is done.
func (a *app) serve(ctx context.Context, o *serveOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	logs, log, err := a.openLog(o)
	if err != nil {
		return err
	}
	defer logs.Close()
	log.Info("starting", "version", version, "data", a.data)
	defer func() { log.Info("stopped", "err", errText(err)) }()

	h, err := a.openHost(ctx, o, log)
	if err != nil {
		return err
	}
	defer h.close()
	config, files, err := a.tls(o)
	if err != nil {
		return err
	}
	l, err := listener.Listen(o.listen, config)
	if err != nil {
		return agentbay.Wrap(err, agentbay.Conflict, "cannot listen on %s; --listen names another address", o.listen)
	}
	defer l.Close()
	if err := h.bay.Start(ctx); err != nil {
		return err
	}
	go h.collect(ctx)
	door := &rpc.Door{Bay: h.bay, Log: log, PublicURL: o.publicURL}
	defer door.Close()
	defer context.AfterFunc(ctx, func() { door.Close() })() // first of all: a watch is a call that never ends
	ports := &proxy.Door{Bay: h.bay, Log: log, DevTools: guest.BrowserPort, PublicURL: o.publicURL}
	pages := &view.Door{Bay: viewBay{h.bay}, Log: log}
	defer pages.Close()
	defer context.AfterFunc(ctx, pages.Close)()
	if !view.Complete() {
		log.Warn("built without noVNC: pages of sessions show no screen; scripts/build gets it")
	}
	if !rrweb.Complete() {
		log.Warn("built without rrweb: what pages show is not recorded; scripts/build gets it where npm or python3-venv is installed")
	}
	objects := &objects.Door{Bay: h.bay, Secret: h.bay.Secret, Log: log}
	return a.answer(ctx, o, h, l, listener.Server(doors(door, ports, objects, pages), log), describe(l, o, files))
}

// A viewBay is a bay as pages of sessions see it.
type viewBay struct{ *bay.Bay }

// View implements view.Bay.
func (b viewBay) View(ctx context.Context, id agentbay.SessionID, token string) (*view.Screen, error) {
	v, err := b.Bay.View(ctx, id, token)
	return (*view.Screen)(v), err
}

// OpenReplay implements view.Bay.
func (b viewBay) OpenReplay(ticket string) (*view.Replay, error) {
	r, err := b.Bay.OpenReplay(ticket)
	return (*view.Replay)(r), err
}

// doors sends links to ports, files and pages of sessions to doors of their own,
// and everything else to the first.
func doors(actions, ports, files, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case gate.IsPortPath(r.URL.Path):
			ports.ServeHTTP(w, r)
		case gate.IsViewPath(r.URL.Path), gate.IsReplayPath(r.URL.Path):
			pages.ServeHTTP(w, r)
		case gate.IsFilePath(r.URL.Path):
			files.ServeHTTP(w, r)
		default:
			actions.ServeHTTP(w, r)
		}
	})
}

// answer serves HTTP until ctx is done, and then lets calls in flight end.
func (a *app) answer(ctx context.Context, o *serveOptions, h *host, l net.Listener, web *http.Server, s server) error {
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(l) }()
	if err := a.announce(s); err != nil {
		return err
	}
	defer a.withdraw()
	select {
	case err := <-ended:
		return agentbay.Wrap(err, agentbay.Internal, "the server stopped by itself")
	case <-ctx.Done():
	}
	notify("STOPPING=1") // only systemd wants to know
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.grace)
	defer cancel()
	err := h.bay.Shutdown(grace)
	web.Close()
	return err
}

// announce tells the world that the server answers.
func (a *app) announce(s server) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := writeFile(a.serverFile(), append(b, '\n')); err != nil {
		return err
	}
	if err := writeFile(a.pidFile(), []byte(strconv.Itoa(s.PID)+"\n")); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "bay at %s\n", s.Endpoint)
	return notify("READY=1")
}

func (a *app) withdraw() {
	os.Remove(a.serverFile())
	os.Remove(a.pidFile())
}

// writeFile replaces a file in one step. Only root may read it.
func writeFile(name string, b []byte) error {
	next := name + ".next"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, name)
}

// describe says where clients on this host find the server.
func describe(l net.Listener, o *serveOptions, caFile string) server {
	addr := l.Addr().(*net.TCPAddr)
	ip := addr.IP
	if ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1)
	}
	scheme := "https"
	if o.plain {
		scheme = "http"
	}
	return server{
		PID:       os.Getpid(),
		Endpoint:  scheme + "://" + net.JoinHostPort(ip.String(), strconv.Itoa(addr.Port)),
		PublicURL: o.publicURL,
		CAFile:    caFile,
		Program:   programID(),
	}
}

// programID changes when this program is built anew.
func programID() string {
	name, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano())
}

// openLog opens the log of the data directory. On a terminal it is also shown.
func (a *app) openLog(o *serveOptions) (*logFile, *slog.Logger, error) {
	file, err := openLog(a.logFile())
	if err != nil {
		return nil, nil, agentbay.Wrap(err, agentbay.Denied, "the data directory cannot be written; run as root, or name another with --data")
	}
	options := &slog.HandlerOptions{Level: o.logLevel}
	var handler slog.Handler = slog.NewJSONHandler(file, options)
	if f, ok := a.errOut.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		handler = slog.NewMultiHandler(handler, slog.NewTextHandler(f, options))
	}
	return file, slog.New(handler), nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// tls makes the server's certificate. caFile is what clients must trust, if it
// is not what they trust anyway.
func (a *app) tls(o *serveOptions) (config *tlsConfig, caFile string, err error) {
	switch {
	case o.plain:
		return nil, "", nil
	case o.certFile != "":
		config, err = certs.Given(o.certFile, o.keyFile)
		return config, "", err
	}
	names := o.tlsNames
	if u, err := url.Parse(o.publicURL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	if listenHost, _, err := net.SplitHostPort(o.listen); err == nil && listenHost != "" {
		names = append(names, listenHost)
	}
	authority, err := certs.Open(a.path("tls"), names...)
	if err != nil {
		return nil, "", err
	}
	return authority.Config(), authority.CAFile(), nil
}

// collect frees, now and then, what no image and no session needs.
func (h *host) collect(ctx context.Context) {
	for {
		if err := h.images.Collect(ctx); err != nil && !errors.Is(err, context.Canceled) {
			h.bay.Log.Warn("unused images could not be freed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}
