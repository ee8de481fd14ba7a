package agentbay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/agentbay/agentbay/tool"
)

var _ Service = (*Client)(nil)

// A link is where tools of one session are called.
type link struct{ url, token string }

// wireSession is a session as CreateMcpSession and GetSession answer.
type wireSession struct {
	SessionID   string `json:"SessionId"`
	ErrMsg      string
	Status      string
	Token       string
	LinkURL     string `json:"LinkUrl"`
	SocketURL   string `json:"WsUrl"`
	ToolURL     string `json:"ToolUrl"` // of bays that know us: the link, whatever others are told
	ResourceURL string `json:"ResourceUrl"`
}

// CreateSession implements [Service]. The labels and timings of the answer are
// those of the spec; Session asks the bay for all it knows.
func (c *Client) CreateSession(ctx context.Context, spec SessionSpec) (*SessionInfo, error) {
	params, err := createParams(spec)
	if err != nil {
		return nil, err
	}
	var s wireSession
	env, err := c.rpc(ctx, "CreateMcpSession", params, &s)
	if err != nil {
		return nil, err
	}
	if s.SessionID == "" {
		return nil, &Error{Code: Invalid, Message: cmp.Or(s.ErrMsg, "the bay made no session"), RequestID: env.RequestID}
	}
	info := &SessionInfo{
		ID: SessionID(s.SessionID), State: Running, Image: cmp.Or(spec.Image, DefaultImage),
		Labels: spec.Labels, IdleTimeout: cmp.Or(spec.IdleTimeout, DefaultIdleTimeout),
	}
	c.fillLinks(info, s)
	return info, nil
}

func createParams(spec SessionSpec) (url.Values, error) {
	stats, err := json.Marshal(map[string]string{"source": "sdk", "sdk_language": "golang", "framework": spec.SDK})
	if err != nil {
		return nil, err
	}
	params := url.Values{"SdkStats": {string(stats)}}
	if spec.Image != "" {
		params.Set("ImageId", spec.Image)
	}
	if spec.IdleTimeout != 0 {
		params.Set("Timeout", strconv.FormatInt(wholeSeconds(spec.IdleTimeout), 10))
	}
	if spec.OnTakeOver != "" {
		params.Set("OnTakeOver", string(spec.OnTakeOver))
	}
	if spec.Replay != nil {
		params.Set("EnableRecord", strconv.FormatBool(*spec.Replay))
	}
	if spec.Record != nil {
		record, err := json.Marshal(spec.Record)
		if err != nil {
			return nil, err
		}
		params.Set("Record", string(record))
	}
	if len(spec.Contexts) > 0 {
		list, err := mountList(spec.Contexts)
		if err != nil {
			return nil, err
		}
		params.Set("PersistenceDataList", list)
	}
	if len(spec.Labels) == 0 {
		return params, nil
	}
	labels, err := json.Marshal(spec.Labels)
	params.Set("Labels", string(labels))
	return params, err
}

// wholeSeconds rounds away from zero, which would mean something else.
func wholeSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	switch {
	case d%time.Second > 0:
		n++
	case d%time.Second < 0:
		n--
	}
	return n
}

// link is how tools of the session are called.
func (s wireSession) link() link { return link{cmp.Or(s.ToolURL, s.LinkURL), s.Token} }

// fillLinks adds to info where the session is reached, and remembers it.
func (c *Client) fillLinks(info *SessionInfo, s wireSession) {
	info.Token, info.LinkURL, info.SocketURL, info.ResourceURL = s.Token, s.LinkURL, s.SocketURL, s.ResourceURL
	info.NoLink = s.LinkURL == ""
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links[info.ID] = s.link()
}

func (c *Client) forget(id SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, id)
}

// linkOf returns how tools of a session are called, asking the bay if need be.
func (c *Client) linkOf(ctx context.Context, id SessionID) (link, error) {
	c.mu.Lock()
	l, ok := c.links[id]
	c.mu.Unlock()
	if ok {
		return l, nil
	}
	var s wireSession
	if _, err := c.rpc(ctx, "GetSession", sessionParam(id), &s); err != nil {
		return link{}, err
	}
	c.fillLinks(&SessionInfo{ID: id}, s)
	return s.link(), nil
}

func sessionParam(id SessionID) url.Values { return url.Values{"SessionId": {string(id)}} }

// wireDetail is what GetSessionDetail answers.
type wireDetail struct {
	Status      string
	ImageID     string `json:"ImageId"`
	ImageDigest string
	Isolation   string
	EndReason   string
	CreateTime  string
	EndTime     string
	IdleTimeout int64 // seconds
}

// Session implements [Service].
func (c *Client) Session(ctx context.Context, id SessionID) (*SessionInfo, error) {
	var d wireDetail
	if _, err := c.rpc(ctx, "GetSessionDetail", sessionParam(id), &d); err != nil {
		return nil, err
	}
	info := &SessionInfo{
		ID: id, Image: d.ImageID, ImageDigest: d.ImageDigest, State: State(d.Status), Isolation: d.Isolation,
		IdleTimeout: time.Duration(d.IdleTimeout) * time.Second, EndReason: d.EndReason,
		CreatedAt: parseTime(d.CreateTime), EndedAt: parseTime(d.EndTime),
	}
	if !info.State.Alive() {
		c.forget(id)
		return info, nil
	}
	return c.withLive(ctx, info)
}

// withLive adds what only a session that has not ended has.
func (c *Client) withLive(ctx context.Context, info *SessionInfo) (*SessionInfo, error) {
	var s wireSession
	if _, err := c.rpc(ctx, "GetSession", sessionParam(info.ID), &s); err != nil {
		return nil, err
	}
	c.fillLinks(info, s)
	labels, err := c.labels(ctx, info.ID)
	info.Labels = labels
	return info, err
}

func (c *Client) labels(ctx context.Context, id SessionID) (map[string]string, error) {
	var data struct{ Labels string }
	env, err := c.rpc(ctx, "GetLabel", sessionParam(id), &data)
	if err != nil || data.Labels == "" {
		return nil, err
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(data.Labels), &labels); err != nil {
		return nil, &Error{Code: Internal, Message: "the bay's labels are no JSON object", RequestID: env.RequestID, cause: err}
	}
	return labels, nil
}

// parseTime reads a time the bay sent; what is absent or odd is the zero time.
func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s)
	return t
}

// Sessions implements [Service]. The wire tells a listing's IDs and states; the
// other fields are zero, and Session fills them for one.
func (c *Client) Sessions(ctx context.Context, q SessionQuery) (*SessionPage, error) {
	labels, err := json.Marshal(orEmpty(q.Labels))
	if err != nil {
		return nil, err
	}
	params := url.Values{"Labels": {string(labels)}, "MaxResults": {strconv.Itoa(cmp.Or(q.Limit, 10))}}
	if q.State != "" {
		params.Set("Status", string(q.State))
	}
	if q.Token != "" {
		params.Set("NextToken", q.Token)
	}
	var rows []struct {
		SessionID     string `json:"SessionId"`
		SessionStatus string
	}
	env, err := c.rpc(ctx, "ListSession", params, &rows)
	if err != nil {
		return nil, err
	}
	page := &SessionPage{Total: env.TotalCount, Next: env.NextToken}
	for _, r := range rows {
		page.Sessions = append(page.Sessions, SessionInfo{ID: SessionID(r.SessionID), State: State(r.SessionStatus)})
	}
	return page, nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// SetLabels implements [Service].
func (c *Client) SetLabels(ctx context.Context, id SessionID, labels map[string]string) error {
	b, err := json.Marshal(orEmpty(labels))
	if err != nil {
		return err
	}
	params := sessionParam(id)
	params.Set("Labels", string(b))
	_, err = c.rpc(ctx, "SetLabel", params, nil)
	return err
}

// KeepAlive implements [Service].
func (c *Client) KeepAlive(ctx context.Context, id SessionID) error {
	_, err := c.rpc(ctx, "RefreshSessionIdleTime", sessionParam(id), nil)
	return err
}

// address performs an action that answers with where something is.
func (c *Client) address(ctx context.Context, action string, params url.Values) (string, error) {
	var at struct {
		URL string `json:"Url"`
	}
	_, err := c.rpc(ctx, action, params, &at)
	return at.URL, err
}

// get performs an action that answers with a T.
func get[T any](ctx context.Context, c *Client, action string, params url.Values) (*T, error) {
	var t T
	if _, err := c.rpc(ctx, action, params, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// ViewLink implements [Service].
func (c *Client) ViewLink(ctx context.Context, id SessionID, watchOnly bool) (string, error) {
	params := sessionParam(id)
	params.Set("WatchOnly", strconv.FormatBool(watchOnly))
	return c.address(ctx, "CreateViewLink", params)
}

// RevokeViews implements [Service].
func (c *Client) RevokeViews(ctx context.Context, id SessionID) error {
	_, err := c.rpc(ctx, "RevokeViewLinks", sessionParam(id), nil)
	return err
}

// Control implements [Service].
func (c *Client) Control(ctx context.Context, id SessionID) (*Control, error) {
	return get[Control](ctx, c, "DescribeControl", sessionParam(id))
}

// RequestHelp implements [Service].
func (c *Client) RequestHelp(ctx context.Context, id SessionID, message string) (*Help, error) {
	params := sessionParam(id)
	params.Set("Message", message)
	return get[Help](ctx, c, "RequestHelp", params)
}

// AnswerHelp implements [Service].
func (c *Client) AnswerHelp(ctx context.Context, id SessionID, help, note string) error {
	params := sessionParam(id)
	params.Set("HelpId", help)
	params.Set("Note", note)
	_, err := c.rpc(ctx, "AnswerHelp", params, nil)
	return err
}

// BrowserLink implements [Service].
func (c *Client) BrowserLink(ctx context.Context, id SessionID) (string, error) {
	return c.address(ctx, "GetCdpLink", sessionParam(id))
}

// StartRecording implements [Service].
func (c *Client) StartRecording(ctx context.Context, id SessionID, spec RecordingSpec) (*Recording, error) {
	params := sessionParam(id)
	params.Set("FrameRate", strconv.Itoa(spec.FrameRate))
	params.Set("MaxBytes", strconv.FormatInt(spec.MaxBytes, 10))
	return get[Recording](ctx, c, "StartRecording", params)
}

// StopRecording implements [Service].
func (c *Client) StopRecording(ctx context.Context, id SessionID) (*Recording, error) {
	return get[Recording](ctx, c, "StopRecording", sessionParam(id))
}

// Recordings implements [Service].
func (c *Client) Recordings(ctx context.Context, id SessionID) (all []Recording, err error) {
	_, err = c.rpc(ctx, "ListRecordings", sessionParam(id), &all)
	return all, err
}

// DeleteSession implements [Service].
func (c *Client) DeleteSession(ctx context.Context, id SessionID) error {
	_, err := c.rpc(ctx, "DeleteSessionAsync", sessionParam(id), nil)
	if err == nil || errors.Is(err, NotFound) {
		c.forget(id)
	}
	return err
}

// Tools implements [Service].
func (c *Client) Tools(ctx context.Context, image string) ([]tool.Tool, error) {
	var list string
	env, err := c.rpc(ctx, "ListMcpTools", url.Values{"ImageId": {cmp.Or(image, DefaultImage)}}, &list)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Name, Description string
		InputSchema       json.RawMessage
	}
	if err := json.Unmarshal([]byte(list), &rows); err != nil {
		return nil, &Error{Code: Internal, Message: "the bay's tool list is no JSON array", RequestID: env.RequestID, cause: err}
	}
	tools := make([]tool.Tool, len(rows))
	for i, r := range rows {
		known, _ := tool.Lookup(r.Name) // the wire has no families
		tools[i] = tool.Tool{Name: r.Name, Summary: r.Description, Input: r.InputSchema, Family: known.Family, Streams: known.Streams}
	}
	return tools, nil
}

// DialPort implements [Service]. The wire has no way to a port yet, so it is
// always Unavailable.
func (c *Client) DialPort(context.Context, SessionID, uint16) (io.ReadWriteCloser, error) {
	return nil, Errorf(Unavailable, "this bay offers no connections to ports of a session yet; call a tool inside it instead")
}
