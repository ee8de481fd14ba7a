package agentbay

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer of the endpoint.
const maxAnswer = maxReply

// An envelope is what every answer of the endpoint has in common.
type envelope struct {
	RequestID  string `json:"RequestId"`
	Success    bool
	Code       string
	Message    string
	Data       json.RawMessage
	TotalCount int
	NextToken  string
}

// rpc performs one action at the endpoint and decodes the answer's Data into
// out, unless that is nil.
func (c *Client) rpc(ctx context.Context, action string, params url.Values, out any) (*envelope, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout,
		Errorf(Unavailable, "%s at %s took longer than %s; AGENTBAY_TIMEOUT_MS allows more", action, c.endpoint.Host, c.timeout))
	defer cancel()
	return c.exchange(ctx, action, params, out)
}

// exchange is rpc that lasts as long as its context.
func (c *Client) exchange(ctx context.Context, action string, params url.Values, out any) (*envelope, error) {
	answer, err := c.post(ctx, action, params)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	env, err := readEnvelope(answer)
	if err != nil || out == nil || len(env.Data) == 0 {
		return env, err
	}
	if err := json.Unmarshal(env.Data, out); err != nil {
		e := &Error{Code: Internal, Message: "the bay's answer to " + action + " has another shape than expected", RequestID: env.RequestID, cause: err}
		return nil, e
	}
	return env, nil
}

func (c *Client) post(ctx context.Context, action string, params url.Values) (*http.Response, error) {
	if params == nil {
		params = url.Values{}
	}
	params.Set("Authorization", "Bearer "+c.key)
	u := *c.endpoint
	u.RawQuery = url.Values{"Action": {action}, "Format": {"json"}, "Version": {"2025-05-06"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(params.Encode()))
	if err != nil {
		return nil, Wrap(err, Internal, "request for %s could not be made", action)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(req)
}

// do sends a request. A cancelled context is reported as such, so that
// errors.Is(err, context.Canceled) holds.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	answer, err := c.http.Do(req)
	if err == nil {
		return answer, nil
	}
	return nil, transportError(req.Context(), err, req.URL.Host)
}

// transportError says why a bay could not be talked to, or could no longer be.
func transportError(ctx context.Context, err error, host string) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return Wrap(err, Unavailable, "the bay at %s cannot be reached", host)
}

func readEnvelope(answer *http.Response) (*envelope, error) {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, transportError(answer.Request.Context(), err, answer.Request.URL.Host)
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		return nil, Wrap(err, codeOfStatus(answer.StatusCode), "%s does not answer like a bay (HTTP status %d); is the endpoint right?",
			answer.Request.URL.Host, answer.StatusCode)
	}
	if !env.Success || answer.StatusCode >= 300 {
		return nil, &Error{Code: codeOfWire(env.Code, answer.StatusCode), Message: messageOf(env), RequestID: env.RequestID}
	}
	return &env, nil
}

func messageOf(env envelope) string {
	if env.Message != "" {
		return env.Message
	}
	return "the bay refused with " + env.Code
}

// wireCodes is what each error code of the wire asks of the caller. Codes that
// are not here are judged by the HTTP status.
var wireCodes = map[string]Code{
	"InvalidParameter":           Invalid,
	"NOT_LOGIN":                  Denied,
	"InvalidMcpSession.NotFound": NotFound,
	"OperationConflict":          Conflict,
	"QuotaExceeded":              Exhausted,
	"ServiceUnavailable":         Unavailable,
	"InternalError":              Internal,
	"ContextNotFound":            NotFound,
	"NotFound":                   NotFound,
	"PathAlreadyBound":           Conflict,
}

func codeOfWire(code string, status int) Code {
	if c, ok := wireCodes[code]; ok {
		return c
	}
	return codeOfStatus(status)
}

func codeOfStatus(status int) Code {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage:
		return Exhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	case http.StatusInternalServerError:
		return Internal
	}
	if status < 500 {
		return Invalid
	}
	return Internal
}

// until calls f, with growing pauses, until it is done, fails or ctx is done.
func until(ctx context.Context, f func() (done bool, err error)) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
