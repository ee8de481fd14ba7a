package rpc

import (
	"context"

	"github.com/agentbay/agentbay"
)

type viewLinkParams struct {
	ID        agentbay.SessionID `param:"SessionId,required"`
	WatchOnly bool               `param:"WatchOnly"`
}

// createViewLink answers with the address of a page that shows a session's screen.
func createViewLink(ctx context.Context, c *call, p viewLinkParams) (answer, error) {
	path, err := c.bay.ViewLink(ctx, p.ID, p.WatchOnly)
	if err != nil {
		return answer{}, err
	}
	return answer{data: urlData{c.origin.page(p.ID, path)}}, nil
}

func revokeViewLinks(ctx context.Context, c *call, p sessionParams) (answer, error) {
	err := c.bay.RevokeViews(ctx, p.ID)
	return answer{}, err
}

func describeControl(ctx context.Context, c *call, p sessionParams) (answer, error) {
	ctl, err := c.bay.Control(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{data: ctl}, nil
}

type helpParams struct {
	ID      agentbay.SessionID `param:"SessionId,required"`
	Message string             `param:"Message,required"`
}

func requestHelp(ctx context.Context, c *call, p helpParams) (answer, error) {
	h, err := c.bay.RequestHelp(ctx, p.ID, p.Message)
	if err != nil {
		return answer{}, err
	}
	return answer{data: h}, nil
}

type answerParams struct {
	ID   agentbay.SessionID `param:"SessionId,required"`
	Help string             `param:"HelpId,required"`
	Note string             `param:"Note"`
}

func answerHelp(ctx context.Context, c *call, p answerParams) (answer, error) {
	return answer{}, c.bay.AnswerHelp(ctx, p.ID, p.Help, p.Note)
}
