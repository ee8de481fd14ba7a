package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/browser"
	"github.com/agentbay/agentbay/internal/guest/code"
	"github.com/agentbay/agentbay/internal/guest/desktop"
	"github.com/agentbay/agentbay/internal/guest/desktop/x11"
	"github.com/agentbay/agentbay/internal/guest/recording"
	"github.com/agentbay/agentbay/internal/guest/replay"
	"github.com/agentbay/agentbay/tool"
)

// addSystemFamilies adds the families of tools that only Linux has.
func addSystemFamilies(all map[tool.Family]family, c config) {
	kernels := code.New(code.Config{Dir: c.dir})
	all[tool.Code] = family{register: kernels.Register, warm: func() { kernels.Warm(c.warm...) }}
	all[tool.Desktop] = desktopFamily(c)
	recorder := &replay.Recorder{Dir: filepath.Join(c.dir, "record")}
	chromium := &browser.Browser{Program: "chromium", Profile: browserProfile, Port: guest.BrowserPort, Env: os.Environ(), Recorder: recorder}
	all[tool.Browser] = family{register: chromium.Register, begin: func(ctx context.Context) error { return offer(ctx, guest.ReplayPort, recorder.Serve) }}
}

// browserProfile is where clients mount contexts that keep a browser's data.
const browserProfile = "/tmp/agentbay_browser"

// desktopFamily is the screen of a session: its tools work as soon as the desktop
// is there, which the guest waits for before it is ready.
func desktopFamily(c config) family {
	var session *x11.Session
	d := &desktop.Desktop{Dir: c.dir, Env: os.Environ(), Screen: func() (desktop.Screen, error) { return session.Screen() }}
	begin := func(ctx context.Context) (err error) {
		session, err = x11.Start(ctx, x11.Config{
			Display: os.Getenv("DISPLAY"), Width: c.width, Height: c.height, Port: guest.ScreenPort, Env: os.Environ(),
			Manager: []string{"openbox"}, Panel: []string{"tint2"},
		})
		if err != nil {
			return err
		}
		return offerRecording(ctx, session)
	}
	return family{register: d.Register, begin: begin}
}

// offerRecording records the screen for whoever connects.
func offerRecording(ctx context.Context, session *x11.Session) error {
	r := recording.Recorder{Encoder: func(frameRate int) (argv, env []string) {
		return x11.Encoder(session.Display(), frameRate), os.Environ()
	}}
	return offer(ctx, guest.RecordPort, r.Serve)
}

// offer serves who connects to a port of the session's loopback.
func offer(ctx context.Context, port int, serve func(context.Context, net.Listener) error) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	go serve(ctx, l)
	return nil
}
