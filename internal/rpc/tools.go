package rpc

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// servers is what the wire calls the families of tools. SDKs echo these names,
// and know some of them by heart.
var servers = map[tool.Family]string{
	tool.System:  "wuying_shell",
	tool.Shell:   "wuying_shell",
	tool.Files:   "wuying_filesystem",
	tool.Code:    "wuying_codespace",
	tool.Desktop: "wuying_ui",
	tool.Browser: "wuying_cdp_mcp_server",
}

// A listedTool is a tool as SDKs learn of it.
type listedTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"`
	Server      string          `json:"server"`
	Tool        string          `json:"tool"`
}

// toolList is the tools of an image, JSON in a string.
func toolList(ctx context.Context, bay agentbay.Service, image string) (string, error) {
	tools, err := bay.Tools(ctx, image)
	if err != nil {
		return "", err
	}
	list := make([]listedTool, 0, len(tools))
	for _, t := range tools {
		list = append(list, listedTool{t.Name, t.Summary, t.Input, servers[t.Family], t.Name})
	}
	return string(encode(list)), nil
}

type listToolsParams struct {
	Image string `param:"ImageId"`
}

func listTools(ctx context.Context, c *call, p listToolsParams) (answer, error) {
	list, err := toolList(ctx, c.bay, p.Image)
	return answer{data: list}, err
}

type callToolParams struct {
	ID   agentbay.SessionID `param:"SessionId,required"`
	Name string             `param:"Name,required"`
	Args json.RawMessage    `param:"Args"`
}

func callTool(ctx context.Context, c *call, p callToolParams) (answer, error) {
	args, err := objectOf(p.Args)
	if err != nil {
		return answer{}, err
	}
	reply, err := run(ctx, c.bay, c.origin, p.ID, tool.Call{Name: p.Name, Args: args})
	return answer{reply: reply}, err
}

// objectOf checks that arguments of a tool are a JSON object; null is none.
func objectOf(args json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(args) == 0 || string(args) == "null":
		return nil, nil
	case args[0] == '{':
		return args, nil
	}
	return nil, agentbay.Errorf(agentbay.Invalid, "the arguments of a tool must be a JSON object")
}

// A toolReply is a tool's reply on its way to a client.
type toolReply struct {
	*tool.Reply
	base64 bool // its text is bytes in base64
}

// run calls a tool. Arguments the tool does not take are its failure, as they
// are where it runs.
func run(ctx context.Context, bay agentbay.Service, o origin, id agentbay.SessionID, c tool.Call) (*toolReply, error) {
	reply, err := bay.CallTool(ctx, id, c)
	if agentbay.CodeOf(err) == agentbay.Invalid {
		text := "Execution failed. Error code:-32602 Error message: " + agentbay.MessageOf(err)
		return &toolReply{Reply: &tool.Reply{Failed: true, Body: io.NopCloser(strings.NewReader(text))}}, nil
	}
	if err != nil {
		return nil, err
	}
	if c.Name == tool.SystemScreenshot.Name && !reply.Failed {
		return o.completed(reply)
	}
	return &toolReply{reply, readsBytes(c)}, nil
}

// maxURL bounds an answer that is a URL.
const maxURL = 16 << 10

// completed is an answer that may be a path at this door, as a URL.
func (o origin) completed(reply *tool.Reply) (*toolReply, error) {
	r, err := reply.Result(maxURL)
	if err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "the answer is no URL; try again")
	}
	return &toolReply{Reply: &tool.Reply{Body: io.NopCloser(strings.NewReader(o.complete(r.Text)))}}, nil
}

// readsBytes reports whether c reads a file as bytes.
func readsBytes(c tool.Call) bool {
	if c.Name != tool.ReadFile.Name {
		return false
	}
	in, err := tool.ReadFile.Decode(c.Args)
	return err == nil && in.Format == "binary"
}
