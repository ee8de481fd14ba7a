package main

import (
	"context"
	"os"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/code"
	"github.com/agentbay/agentbay/internal/guest/desktop"
	"github.com/agentbay/agentbay/internal/guest/desktop/x11"
	"github.com/agentbay/agentbay/tool"
)

// addSystemFamilies adds the families of tools that only Linux has.
func addSystemFamilies(all map[tool.Family]family, c config) {
	kernels := code.New(code.Config{Dir: c.dir})
	all[tool.Code] = family{register: kernels.Register, warm: func() { kernels.Warm(c.warm...) }}
	all[tool.Desktop] = desktopFamily(c)
}

// desktopFamily is the screen of a session: its tools work as soon as the desktop
// is there, which the guest waits for before it is ready.
func desktopFamily(c config) family {
	var session *x11.Session
	d := &desktop.Desktop{Dir: c.dir, Env: os.Environ(), Screen: func() (desktop.Screen, error) { return session.Screen() }}
	begin := func(ctx context.Context) (err error) {
		session, err = x11.Start(ctx, x11.Config{
			Display: os.Getenv("DISPLAY"), Width: c.width, Height: c.height, Port: guest.ScreenPort, Env: os.Environ(),
			Programs: [][]string{{"openbox"}, {"tint2"}},
		})
		return err
	}
	return family{register: d.Register, begin: begin}
}
