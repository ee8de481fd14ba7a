package agentbay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// maxReply bounds a tool's answer, and with it what a Client holds in memory
// for one call.
const maxReply = 512 << 20

// wireResult is a tool's answer inside every envelope.
type wireResult struct {
	Content []struct{ Text string }
	IsError bool `json:"isError"`
}

func (r wireResult) reply() *tool.Reply {
	var text string
	if len(r.Content) > 0 {
		text = r.Content[0].Text
	}
	return &tool.Reply{Failed: r.IsError, Body: io.NopCloser(strings.NewReader(text))}
}

// CallTool implements [Service]. The answer is whole before CallTool returns.
func (c *Client) CallTool(ctx context.Context, id SessionID, call tool.Call) (*tool.Reply, error) {
	l, err := c.linkOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if l.url == "" {
		return c.callByRPC(ctx, id, call)
	}
	answer, err := c.postLink(ctx, id, l, "callTool", call)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var body struct {
		Data struct{ Result wireResult }
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxReply))
	if err == nil {
		err = tool.Unmarshal(text, &body)
	}
	if err != nil {
		return nil, brokenOff(ctx, err, call.Name)
	}
	return body.Data.Result.reply(), nil
}

func brokenOff(ctx context.Context, err error, name string) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return Wrap(err, Unavailable, "the answer of %s broke off", name)
}

// callByRPC is the way to tools of a session whose image offers no link.
func (c *Client) callByRPC(ctx context.Context, id SessionID, call tool.Call) (*tool.Reply, error) {
	params := sessionParam(id)
	params.Set("Name", call.Name)
	params.Set("Args", string(argsOf(call)))
	params.Set("AutoGenSession", "false")
	var r wireResult
	if _, err := c.exchange(ctx, "CallMcpTool", params, &r); err != nil {
		return nil, err
	}
	return r.reply(), nil
}

func argsOf(call tool.Call) json.RawMessage {
	if len(bytes.TrimSpace(call.Args)) == 0 {
		return json.RawMessage("{}")
	}
	return call.Args
}

// linkBody is a call as a link takes it. Its arguments may be long, so they are
// not encoded again.
func linkBody(l link, call tool.Call) ([]byte, error) {
	args := argsOf(call)
	if !tool.Valid(args) {
		return nil, Errorf(Invalid, "the arguments of %s are not JSON", call.Name)
	}
	head, err := json.Marshal(map[string]string{
		"tool": call.Name, "server": "", "token": l.token,
		"requestId": fmt.Sprintf("link-%d", time.Now().UnixNano()),
	})
	if err != nil {
		return nil, Wrap(err, Invalid, "the name of %s is no text", call.Name)
	}
	return slices.Concat(head[:len(head)-1], []byte(`,"args":`), args, []byte("}")), nil
}

// postLink sends a call to the session's link and returns a 2xx answer.
func (c *Client) postLink(ctx context.Context, id SessionID, l link, verb string, call tool.Call) (*http.Response, error) {
	body, err := linkBody(l, call)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(l.url, "/")+"/"+verb, bytes.NewReader(body))
	if err != nil {
		return nil, Wrap(err, Internal, "the session's link %q is no URL", l.url)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Access-Token", l.token)
	answer, err := c.do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, c.linkError(id, answer)
}

// A wireFailure is why a link call was refused.
type wireFailure struct{ Code, Message, RequestID string }

func (f wireFailure) asError(status int) error {
	return &Error{Code: codeOfWire(f.Code, status), Message: f.Message, RequestID: f.RequestID}
}

// linkError reads a refusal. A session that is gone is asked for anew next time.
func (c *Client) linkError(id SessionID, answer *http.Response) error {
	var f wireFailure
	err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&f)
	if err != nil || f.Message == "" {
		f.Message = fmt.Sprintf("the session's link answers with HTTP status %d", answer.StatusCode)
	}
	refusal := f.asError(answer.StatusCode)
	if errors.Is(refusal, NotFound) || errors.Is(refusal, Denied) {
		c.forget(id)
	}
	return refusal
}

// StreamTool implements [Service].
func (c *Client) StreamTool(ctx context.Context, id SessionID, call tool.Call, yield func(event []byte) error) error {
	l, err := c.linkOf(ctx, id)
	if err != nil {
		return err
	}
	if l.url == "" {
		return Errorf(Unavailable, "the session's image offers no link, and so no streams; call %s instead", call.Name)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop() // closes the connection, which stops the tool
	answer, err := c.postLink(ctx, id, l, "streamTool", call)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return readEvents(ctx, answer.Body, call.Name, yield)
}

// readEvents yields the events of a stream, which are JSON values.
func readEvents(ctx context.Context, body io.Reader, name string, yield func([]byte) error) error {
	events := json.NewDecoder(body)
	for {
		var event json.RawMessage
		err := events.Decode(&event)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return brokenOff(ctx, err, name)
		}
		if err := streamError(event); err != nil {
			return err
		}
		if err := yield(event); err != nil {
			return err
		}
	}
}

// streamError is the error that ends a stream, if event is one.
func streamError(event []byte) error {
	var last struct {
		Error *struct {
			Code               Code
			Message, RequestID string
		}
	}
	if !bytes.HasPrefix(event, []byte(`{"error":{`)) || json.Unmarshal(event, &last) != nil || last.Error == nil {
		return nil
	}
	e := last.Error
	return &Error{Code: e.Code, Message: e.Message, RequestID: e.RequestID}
}

// result calls a tool and reads all of its answer. A failed tool is a Result
// with Failed set.
func result(ctx context.Context, s Service, id SessionID, call tool.Call) (tool.Result, error) {
	reply, err := s.CallTool(ctx, id, call)
	if err != nil {
		return tool.Result{}, err
	}
	r, err := reply.Result(maxReply)
	if errors.Is(err, tool.ErrTooLong) {
		return r, Wrap(err, Exhausted, "the answer of %s is longer than %d MB; ask for less of it", call.Name, maxReply>>20)
	}
	return r, err
}

// resultOf makes a call of a declared tool and reads all of its answer.
func resultOf[In, Out any](ctx context.Context, s Service, id SessionID, def tool.Def[In, Out], in In) (tool.Result, error) {
	call, err := def.Call(in)
	if err != nil {
		return tool.Result{}, Wrap(err, Invalid, "the arguments of %s are not JSON", def.Name)
	}
	return result(ctx, s, id, call)
}
