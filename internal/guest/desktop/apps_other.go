//go:build !linux

package desktop

import (
	"context"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

var errNoApps = guest.Failf(guest.Unsuccessful, "applications are not supported on this kind of session yet")

func (d *Desktop) startApp(context.Context, tool.StartAppIn) (guest.Answer, error) {
	return guest.Answer{}, errNoApps
}

func (d *Desktop) visibleApps(context.Context, tool.None) (guest.Answer, error) {
	return guest.Answer{}, errNoApps
}

func (d *Desktop) stopByName(context.Context, tool.StopByNameIn) (guest.Answer, error) {
	return guest.Answer{}, errNoApps
}

func (d *Desktop) stopByPID(context.Context, tool.StopByPIDIn) (guest.Answer, error) {
	return guest.Answer{}, errNoApps
}

func (d *Desktop) stopByCmd(context.Context, tool.StopByCmdIn) (guest.Answer, error) {
	return guest.Answer{}, errNoApps
}

func nameOf(int) string { return "" }
