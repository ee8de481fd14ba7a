package rpc

import (
	"context"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/gate"
	"github.com/agentbay/agentbay/tool"
)

// getCDPLink answers with where the DevTools of a session's browser are.
func getCDPLink(ctx context.Context, c *call, p sessionParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	path, err := c.bay.BrowserLink(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{data: urlData{gate.Socket(c.origin.complete(path))}}, nil
}

type initBrowserParams struct {
	ID     agentbay.SessionID `param:"SessionId,required"`
	Option browserOption      `param:"BrowserOption"`
}

// A browserOption is what the wire says of a browser beyond what the tool takes.
type browserOption struct {
	tool.BrowserIn
	Captchas  bool `json:"solveCaptchas"`
	AutoLogin bool `json:"autoLogin"`
}

// in is what the tool takes. Who solves captchas and logs in is a person, for whom a
// model calls.
func (o browserOption) in() tool.BrowserIn {
	o.CallForUser = o.CallForUser || o.Captchas || o.AutoLogin
	return o.BrowserIn
}

// A browserData says that the browser is there.
type browserData struct {
	Port int `json:"Port"`
}

// maxBrowserAnswer bounds what a session says of its browser, in bytes.
const maxBrowserAnswer = 16 << 10

// initBrowser opens the browser and answers when it can be dialled.
func initBrowser(ctx context.Context, c *call, p initBrowserParams) (answer, error) {
	call, err := tool.OpenBrowser.Call(p.Option.in())
	if err != nil {
		return answer{}, err
	}
	reply, err := c.bay.CallTool(ctx, p.ID, call)
	if err != nil {
		return answer{}, err
	}
	r, err := reply.Result(maxBrowserAnswer)
	if err != nil {
		return answer{}, agentbay.Wrap(err, agentbay.Unavailable, "the session broke off its answer; try again")
	}
	if r.Failed {
		return answer{}, agentbay.Errorf(agentbay.Invalid, "%s", r.Text)
	}
	var out tool.BrowserOut
	if err := tool.Unmarshal([]byte(r.Text), &out); err != nil {
		return answer{}, agentbay.Wrap(err, agentbay.Unavailable, "the session does not say where its browser is")
	}
	return answer{data: browserData{out.Port}}, nil
}
