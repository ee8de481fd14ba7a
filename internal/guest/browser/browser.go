// Package browser opens the browser of a session: Chromium on the session's
// screen, with its DevTools on a port of the session's loopback.
package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/devtools"
	"github.com/agentbay/agentbay/internal/guest/replay"
	"github.com/agentbay/agentbay/tool"
)

// A Browser is the one browser of a session. Its fields are set before it is used.
type Browser struct {
	Program string   // on the path
	Profile string   // directory of cookies, logins and history
	Port    int      // TCP port of the loopback where its DevTools are
	Env     []string // of the program

	Recorder *replay.Recorder // of what its pages show; nil means that nothing is recorded

	mu      sync.Mutex // held while the browser is opened or ended
	running *process   // nil if none was opened yet; guarded by mu
}

// Register makes m perform the browser's tools.
func (b *Browser) Register(m *guest.Mux) {
	guest.Handle(m, tool.OpenBrowser, b.open)
	guest.Handle(m, tool.StopChrome, b.stop)
	guest.Handle(m, tool.Navigate, b.navigate)
	guest.Handle(m, tool.PageScreenshot, b.picture)
	guest.Handle(m, tool.PagePDF, b.pdf)
	guest.Handle(m, tool.ClosePage, b.closePage)
	guest.Handle(m, tool.PageSnapshot, b.snapshot)
	guest.Handle(m, tool.PagePerform, b.perform)
	guest.Handle(m, tool.PageLocate, b.locate)
}

// A process is a running browser.
type process struct {
	options tool.BrowserIn
	cmd     *exec.Cmd
	relay   *relay         // to its proxy; nil if it has none that wants a password
	path    string         // of its WebSocket
	tools   *devtools.Conn // ours to it

	downloads *downloads    // set before it is used
	ended     chan struct{} // closed when it has
	status    error         // how; set before ended is closed
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// openWithin is how long a browser may take to open.
const openWithin = 45 * time.Second

func (b *Browser) open(ctx context.Context, in tool.BrowserIn) (guest.Answer, error) {
	p, err := b.opened(ctx, in)
	if err != nil {
		return guest.Answer{}, err
	}
	return guest.JSON(tool.BrowserOut{Port: b.Port, Path: p.path, CallForUser: p.options.CallForUser}), nil
}

// opened is the browser that is open with options, which it is then.
func (b *Browser) opened(ctx context.Context, in tool.BrowserIn) (*process, error) {
	args, err := b.arguments(in)
	if err != nil {
		return nil, err
	}
	upstream, err := upstreamOf(in.Proxies)
	if err != nil {
		return nil, err
	}
	d, err := disguiseOf(in)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	open := b.running != nil && b.running.alive()
	if open && (in.Keep || reflect.DeepEqual(b.running.options, in)) {
		return b.running, nil
	}
	if err := reach(ctx, upstream); err != nil {
		return nil, err
	}
	if open {
		b.running.end()
	}
	in.Keep = false
	b.running, err = b.start(ctx, in, args, upstream, d)
	if err == nil {
		go b.running.guard()
	}
	return b.running, err
}

func (b *Browser) stop(context.Context, tool.None) (guest.Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil || !b.running.alive() {
		return guest.Text("No browser was open"), nil
	}
	b.running.end()
	return guest.Text("Closed the browser"), nil
}

// start starts the browser and returns once its DevTools can be dialled.
func (b *Browser) start(ctx context.Context, in tool.BrowserIn, args []string, upstream *url.URL, d *disguise) (*process, error) {
	if err := b.unlock(); err != nil {
		return nil, err
	}
	p := &process{options: in, ended: make(chan struct{})}
	through, err := p.useProxy(upstream)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		p.leaveProxy()
		return nil, err
	}
	p.cmd = exec.Command(b.Program, append(through, args...)...)
	p.cmd.Env, p.cmd.Stderr = slices.Concat(b.Env, d.environment()), w
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = guest.Start(p.cmd)
	w.Close()
	if err != nil {
		r.Close()
		p.leaveProxy()
		return nil, guest.Failf(guest.Unsuccessful, "the browser cannot be started: %v", err)
	}
	go func() {
		p.status = guest.Wait(p.cmd)
		p.leaveProxy()
		close(p.ended)
	}()
	said := listen(r)
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	select {
	case s := <-said:
		if p.path = s.path; p.path != "" {
			if p.tools, err = devtools.Dial(ctx, b.address(p)); err != nil {
				p.end()
				return nil, guest.Failf(guest.Unsuccessful, "%v", err)
			}
			if err := b.prepare(ctx, p, d); err != nil {
				p.end()
				return nil, err
			}
			return p, nil
		}
		<-p.ended // it has closed its output
		return nil, guest.Failf(guest.Unsuccessful, "the browser has ended (%v): %s", p.status, s.last)
	case <-ctx.Done():
		p.end()
		return nil, guest.Failf(guest.Unsuccessful, "[timeout] the browser did not open within %s", openWithin)
	}
}

// address is that of its WebSocket.
func (b *Browser) address(p *process) string {
	return fmt.Sprintf("ws://127.0.0.1:%d%s", b.Port, p.path)
}

// prepare makes a browser that has been started what its options say, as far as its
// command line could not.
func (b *Browser) prepare(ctx context.Context, p *process, d *disguise) (err error) {
	if p.downloads, err = follow(ctx, p.tools.Browser()); err != nil {
		return err
	}
	if err := b.fit(ctx, p); err != nil {
		return err
	}
	if d != nil {
		err = d.put(ctx, p.tools.Browser())
	}
	if err == nil && b.Recorder != nil {
		err = b.Recorder.Opened(ctx, b.address(p), p.options.Stealth)
	}
	if err != nil || p.options.DefaultURL == "" || !b.goesLater(p.options) {
		return err
	}
	return b.goFirst(ctx, p)
}

// goesLater reports whether a browser goes to its first page once it has been
// prepared, and not by its command line.
func (b *Browser) goesLater(in tool.BrowserIn) bool {
	return in.Stealth || b.Recorder != nil && b.Recorder.On()
}

// goFirst goes to a browser's first page.
func (b *Browser) goFirst(ctx context.Context, p *process) error {
	id, err := b.active(ctx, p.tools.Browser())
	if err != nil {
		return err
	}
	first, err := b.attach(ctx, p.tools.Browser(), id)
	if err != nil {
		return err
	}
	defer first.detach()
	return first.Tell(ctx, "Page.navigate", map[string]any{"url": p.options.DefaultURL})
}

// fitWithin is how long a window may take to have its size.
const fitWithin = 2 * time.Second

// fit gives the window the size with which its pages have the one of the viewport:
// what is around them is known only once it is there. Chromium has a least size of
// windows, which is then what they have.
func (b *Browser) fit(ctx context.Context, p *process) error {
	want := p.options.Viewport
	if want == nil {
		return nil
	}
	id, err := b.active(ctx, p.tools.Browser())
	if err != nil {
		return err
	}
	at, err := b.attach(ctx, p.tools.Browser(), id)
	if err != nil {
		return err
	}
	defer at.detach()
	var window struct {
		WindowID int
		Bounds   tool.BrowserSize
	}
	if err := p.tools.Browser().Call(ctx, "Browser.getWindowForTarget", map[string]any{"targetId": id}, &window); err != nil {
		return err
	}
	var inner struct {
		Result struct{ Value tool.BrowserSize }
	}
	if err := at.Call(ctx, "Runtime.evaluate", map[string]any{"expression": "({width: innerWidth, height: innerHeight})", "returnByValue": true}, &inner); err != nil {
		return err
	}
	has := inner.Result.Value
	bounds := map[string]any{"width": window.Bounds.Width + want.Width - has.Width, "height": window.Bounds.Height + want.Height - has.Height}
	if err := p.tools.Browser().Call(ctx, "Browser.setWindowBounds", map[string]any{"windowId": window.WindowID, "bounds": bounds}, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fitWithin)
	defer cancel()
	fits := fmt.Sprintf("new Promise(done => { const look = () => innerWidth == %d && innerHeight == %d && done(); addEventListener('resize', look); look() })", want.Width, want.Height)
	_ = at.Call(ctx, "Runtime.evaluate", map[string]any{"expression": fits, "awaitPromise": true}, nil) // one that is too small stays larger
	return nil
}

// useProxy is the switches that have all of the browser go through a proxy.
func (p *process) useProxy(upstream *url.URL) (args []string, err error) {
	if upstream == nil {
		return nil, nil
	}
	server := upstream.Scheme + "://" + upstream.Host
	if upstream.User != nil {
		if p.relay, err = newRelay(upstream); err != nil {
			return nil, err
		}
		server = "http://" + p.relay.listener.Addr().String()
	}
	// WebRTC would look for ways of its own.
	return []string{"--proxy-server=" + server, "--force-webrtc-ip-handling-policy=disable_non_proxied_udp"}, nil
}

func (p *process) leaveProxy() {
	if p.relay != nil {
		p.relay.close()
	}
}

// unlock takes from a profile the lock of a browser that has ended: of one in
// another session, perhaps, from which the profile was brought.
func (b *Browser) unlock() error {
	if err := os.MkdirAll(b.Profile, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"SingletonLock", "SingletonSocket", "SingletonCookie"} {
		if err := os.Remove(filepath.Join(b.Profile, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// end ends the browser and all its processes: first as a person would, so that it
// writes its profile. At a signal it leaves out the cookies of the last half-minute.
func (p *process) end() {
	if p.tools == nil {
		syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM)
	} else {
		_ = p.tools.Browser().Tell(context.Background(), "Browser.close", nil) // fails if it is closing already
	}
	select {
	case <-p.ended:
	case <-time.After(endWithin):
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// endWithin is how long a browser may take to write its profile.
const endWithin = 5 * time.Second

// A saying is what a browser printed at its start.
type saying struct {
	path string // of its WebSocket; empty if it never said
	last string // the last line
}

// maxLine bounds a line that is kept.
const maxLine = 500

// listen reads what a browser prints to its end, and tells when it says where its
// DevTools are, or that it never did.
func listen(r io.ReadCloser) <-chan saying {
	told := make(chan saying, 1)
	go func() {
		defer r.Close()
		var s saying
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			if _, address, ok := strings.Cut(line, "DevTools listening on ws://"); ok && s.path == "" {
				_, path, _ := strings.Cut(address, "/")
				s.path = "/" + path
				told <- s
			}
			s.last = strings.ToValidUTF8(line[:min(len(line), maxLine)], "�")
		}
		io.Copy(io.Discard, r) // a line that is too long is no reason to stop the browser
		if s.path == "" {
			told <- s
		}
	}()
	return told
}
