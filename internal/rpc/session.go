package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/agentbay/agentbay"
)

// A sessionData is a session as it is told to who may use it.
type sessionData struct {
	SessionID     agentbay.SessionID `json:"SessionId"`
	Success       bool               `json:"Success"`
	ErrMsg        string             `json:"ErrMsg"`
	AppInstanceID string             `json:"AppInstanceId"`
	ResourceID    string             `json:"ResourceId"`
	ResourceURL   string             `json:"ResourceUrl"`
	InterfaceIP   string             `json:"NetworkInterfaceIp"`
	HTTPPort      string             `json:"HttpPort"`
	VPC           bool               `json:"VpcResource"`
	Token         string             `json:"Token"`
	LinkURL       string             `json:"LinkUrl"`
	SocketURL     string             `json:"WsUrl"`
	ToolURL       string             `json:"ToolUrl"` // our own: the link, also where LinkUrl says that there is none
	ToolList      string             `json:"ToolList"`
}

// describe is the session with the links that this client can use. A session may
// outlive the name of its image; clients do without the list of its tools.
func (c *call) describe(ctx context.Context, s *agentbay.SessionInfo) sessionData {
	tools, err := toolList(ctx, c.bay, s.Image)
	if err != nil {
		c.door.Log.WarnContext(ctx, "no list of tools", "session", s.ID, "image", s.Image, "error", err)
		tools = "[]"
	}
	return sessionData{
		SessionID:     s.ID,
		Success:       true,
		AppInstanceID: instanceID(s.ID),
		ResourceID:    resourceID(s.ID),
		ResourceURL:   c.origin.page(s.ID, s.ResourceURL),
		Token:         s.Token,
		LinkURL:       c.origin.link(s),
		SocketURL:     c.origin.socket(s.ID),
		ToolURL:       c.origin.tools(s.ID),
		ToolList:      tools,
	}
}

type createParams struct {
	Image      string                  `param:"ImageId"`
	Labels     map[string]string       `param:"Labels"`
	Timeout    int                     `param:"Timeout"` // seconds
	Statistics string                  `param:"SdkStats"`
	Contexts   string                  `param:"PersistenceDataList"`
	OnTakeOver string                  `param:"OnTakeOver"` // our own: refuse or wait
	Record     *agentbay.RecordingSpec `param:"Record"`     // our own: record the screen from the start

	Replay *bool `param:"EnableRecord"`

	// What this release cannot give is refused, not dropped.
	ContextID string `param:"ContextId"`
	Policy    string `param:"McpPolicyId"`
	Network   string `param:"NetworkId"`
	LoadSkill bool   `param:"LoadSkill"`
}

// createSession tells every failure of its own in a 200, in the two places where
// SDKs look for one.
func createSession(ctx context.Context, c *call, p createParams) (answer, error) {
	s, err := c.create(ctx, p)
	if err != nil {
		return answer{data: refusedSession{ErrMsg: agentbay.MessageOf(err)}, refused: err}, nil
	}
	return answer{data: c.describe(ctx, s)}, nil
}

// A refusedSession is the Data of a session that was not made.
type refusedSession struct {
	Success bool   `json:"Success"` // false
	ErrMsg  string `json:"ErrMsg"`
}

func (c *call) create(ctx context.Context, p createParams) (*agentbay.SessionInfo, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	mounts, err := parseMounts(p.Contexts)
	if err != nil {
		return nil, err
	}
	s, err := c.bay.CreateSession(ctx, agentbay.SessionSpec{
		Image:       p.Image,
		Labels:      p.Labels,
		IdleTimeout: time.Duration(p.Timeout) * time.Second,
		Contexts:    mounts,
		OnTakeOver:  agentbay.TakeOver(p.OnTakeOver),
		Record:      p.Record,
		Replay:      p.Replay,
		SDK:         p.Statistics,
	})
	if agentbay.CodeOf(err) == agentbay.NotFound {
		err = coded(notFoundContext, err)
	}
	return s, bound(err)
}

// maxTimeout keeps a number of seconds in the range of a time.Duration. What
// may be asked for is the core's to say.
const maxTimeout = int(1<<62) / int(time.Second)

func (p createParams) check() error {
	for _, x := range []struct {
		asked      bool
		name, noun string
	}{
		{p.ContextID != "", "ContextId", "contexts outside PersistenceDataList"},
		{p.Policy != "", "McpPolicyId", "policies"},
		{p.Network != "", "NetworkId", "networks"},
		{p.LoadSkill, "LoadSkill", "skills"},
	} {
		if x.asked {
			return agentbay.Errorf(agentbay.Invalid, "this bay does not offer %s yet; create the session without %s", x.noun, x.name)
		}
	}
	if p.Timeout < -maxTimeout || p.Timeout > maxTimeout {
		return agentbay.Errorf(agentbay.Invalid, "parameter Timeout is out of range")
	}
	return nil
}

type sessionParams struct {
	ID agentbay.SessionID `param:"SessionId,required"`
}

// present returns a session that has not ended.
func present(ctx context.Context, bay agentbay.Service, id agentbay.SessionID) (*agentbay.SessionInfo, error) {
	s, err := bay.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.State.Ended() {
		return nil, agentbay.Errorf(agentbay.NotFound, "session %s not found: it has ended (%s)", id, s.EndReason)
	}
	return s, nil
}

// A statusData is a session with its state.
type statusData struct {
	sessionData
	Status   string      `json:"Status"`
	Contexts []mountData `json:"contexts"` // never null
}

// A mountData names a context that a session has.
type mountData struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func getSession(ctx context.Context, c *call, p sessionParams) (answer, error) {
	s, err := present(ctx, c.bay, p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{data: statusData{
		sessionData: c.describe(ctx, s),
		Status:      string(s.State),
		Contexts:    c.mountsOf(ctx, s),
	}}, nil
}

// A detailData is what of a session is left after its end.
type detailData struct {
	AppInstanceID string `json:"AppInstanceId"`
	EndReason     string `json:"EndReason"`
	ImageID       string `json:"ImageId"`
	Status        string `json:"Status"`
	IsDeleted     int    `json:"IsDeleted"`

	// What only our own clients know to look at.
	ImageDigest string `json:"ImageDigest"`
	Isolation   string `json:"Isolation"`
	CreateTime  string `json:"CreateTime"`
	EndTime     string `json:"EndTime"`     // empty until the session has ended
	IdleTimeout int64  `json:"IdleTimeout"` // seconds
}

// timeText is a time as it is told; the zero time is empty.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func getSessionDetail(ctx context.Context, c *call, p sessionParams) (answer, error) {
	s, err := c.bay.Session(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	d := detailData{
		AppInstanceID: instanceID(s.ID),
		EndReason:     s.EndReason,
		ImageID:       s.Image,
		Status:        string(s.State),
		ImageDigest:   s.ImageDigest,
		Isolation:     s.Isolation,
		CreateTime:    timeText(s.CreatedAt),
		EndTime:       timeText(s.EndedAt),
		IdleTimeout:   int64(s.IdleTimeout / time.Second),
	}
	if s.State.Ended() {
		d.IsDeleted = 1
	}
	return answer{data: d}, nil
}

type listParams struct {
	Labels map[string]string `param:"Labels"`
	Max    int               `param:"MaxResults"`
	Token  string            `param:"NextToken"`
	Status string            `param:"Status"`
}

// A listedSession is a session in a listing.
type listedSession struct {
	ID     agentbay.SessionID `json:"SessionId"`
	Status string             `json:"SessionStatus"`
}

// deleted is a word that clients list ended sessions by.
const deleted = "DELETED"

// How many sessions or contexts a page has.
const (
	defaultPage = 10
	largestPage = 100
)

// pageSize is how many a page has for a client that asks for that many.
func pageSize(asked int) (int, error) {
	switch {
	case asked < 0:
		return 0, agentbay.Errorf(agentbay.Invalid, "parameter MaxResults must not be negative")
	case asked == 0:
		return defaultPage, nil
	}
	return min(asked, largestPage), nil
}

func listSession(ctx context.Context, c *call, p listParams) (answer, error) {
	state, err := stateNamed(p.Status)
	if err != nil {
		return answer{}, err
	}
	if p.Max, err = pageSize(p.Max); err != nil {
		return answer{}, err
	}
	found, err := c.bay.Sessions(ctx, agentbay.SessionQuery{Labels: p.Labels, State: state, Limit: p.Max, Token: p.Token})
	if err != nil {
		return answer{}, err
	}
	list := make([]listedSession, 0, len(found.Sessions))
	for _, s := range found.Sessions {
		list = append(list, listedSession{s.ID, statusListed(s.State, p.Status)})
	}
	return answer{data: list, page: &page{TotalCount: found.Total, MaxResults: p.Max, NextToken: found.Next}}, nil
}

// stateNamed is the state that a client's word means.
func stateNamed(word string) (agentbay.State, error) {
	s := agentbay.State(strings.ToUpper(word))
	switch s {
	case "", agentbay.Starting, agentbay.Running, agentbay.Pausing, agentbay.Paused, agentbay.Resuming, agentbay.Deleting, agentbay.Finished:
		return s, nil
	case deleted:
		return agentbay.Finished, nil
	}
	return "", agentbay.Errorf(agentbay.Invalid, "no session status is called %s; there is RUNNING, PAUSING, PAUSED, RESUMING, DELETING and DELETED", clip(word))
}

// statusListed is the word for a state to who asked with a word of theirs.
func statusListed(s agentbay.State, asked string) string {
	if s.Ended() && strings.EqualFold(asked, deleted) {
		return deleted
	}
	return string(s)
}

func deleteSession(ctx context.Context, c *call, p sessionParams) (answer, error) {
	err := c.bay.DeleteSession(ctx, p.ID)
	return answer{}, err
}

func refreshIdleTime(ctx context.Context, c *call, p sessionParams) (answer, error) {
	err := c.bay.KeepAlive(ctx, p.ID)
	return answer{}, err
}

type setLabelParams struct {
	ID     agentbay.SessionID `param:"SessionId,required"`
	Labels map[string]string  `param:"Labels,required"`
}

func setLabel(ctx context.Context, c *call, p setLabelParams) (answer, error) {
	err := c.bay.SetLabels(ctx, p.ID, p.Labels)
	return answer{}, err
}

// A labelData has a session's labels, a JSON object in a string.
type labelData struct {
	Labels string `json:"Labels"`
}

func getLabel(ctx context.Context, c *call, p sessionParams) (answer, error) {
	s, err := present(ctx, c.bay, p.ID)
	if err != nil {
		return answer{}, err
	}
	labels := s.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return answer{
		data: labelData{string(encode(labels))},
		page: &page{TotalCount: len(labels), MaxResults: max(len(labels), defaultPage)},
	}, nil
}

// A resourceData says how a person sees a session.
type resourceData struct {
	SessionID   agentbay.SessionID `json:"SessionId"`
	ResourceURL string             `json:"ResourceUrl"`
	Desktop     desktopData        `json:"DesktopInfo"`
}

// A desktopData has what the live view of the cloud service asks for. Ours asks for
// nothing but its address, so what would open another is empty.
type desktopData struct {
	AppID                string `json:"AppId"`
	AuthCode             string `json:"AuthCode"`
	ConnectionProperties string `json:"ConnectionProperties"`
	ResourceID           string `json:"ResourceId"`
	ResourceType         string `json:"ResourceType"`
	Ticket               string `json:"Ticket"`
}

func getResource(ctx context.Context, c *call, p sessionParams) (answer, error) {
	s, err := present(ctx, c.bay, p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{data: resourceData{
		SessionID:   s.ID,
		ResourceURL: c.origin.page(s.ID, s.ResourceURL),
		Desktop: desktopData{
			AppID:                instanceID(s.ID),
			ConnectionProperties: "{}",
			ResourceID:           resourceID(s.ID),
			ResourceType:         "AIAgent",
			Ticket:               s.Token, // what opens the session to who holds it
		},
	}}, nil
}

type linkParams struct {
	ID       agentbay.SessionID `param:"SessionId,required"`
	Protocol string             `param:"ProtocolType"`
	Port     string             `param:"Port"`
}

// The ports of a session that a link may go to.
const firstPort, lastPort = 30100, 30199

// A urlData is where something is.
type urlData struct {
	URL string `json:"Url"`
}

// getLink answers with the link to a port: of a WebSocket there, or with https
// of an HTTP server. Without a port it is the one to the browser's DevTools.
func getLink(ctx context.Context, c *call, p linkParams) (answer, error) {
	s, err := present(ctx, c.bay, p.ID)
	if err != nil {
		return answer{}, err
	}
	port, err := p.check()
	if err != nil {
		return answer{}, coded("PARAM_ERROR", err)
	}
	if port == 0 {
		a, err := getCDPLink(ctx, c, sessionParams{p.ID})
		if agentbay.CodeOf(err) == agentbay.Invalid {
			err = coded("PARAM_ERROR", agentbay.Wrap(err, agentbay.Invalid, "PARAM_ERROR: %s", agentbay.MessageOf(err)))
		}
		return a, err
	}
	return answer{data: urlData{c.origin.port(s, port, p.Protocol != "https")}}, nil
}

// check returns the port a link may be made to.
func (p linkParams) check() (port uint16, err error) {
	n, err := strconv.Atoi(p.Port)
	if p.Port != "" && (err != nil || n < firstPort || n > lastPort) {
		return 0, agentbay.Errorf(agentbay.Invalid, "PARAM_ERROR: port %s is not valid; it must be a whole number from %d to %d", clip(p.Port), firstPort, lastPort)
	}
	return uint16(n), p.checkProtocol()
}

func (p linkParams) checkProtocol() error {
	switch p.Protocol {
	case "", "wss":
	case "https":
		if p.Port == "" {
			return agentbay.Errorf(agentbay.Invalid, "PARAM_ERROR: port is not valid; with https give one from %d to %d", firstPort, lastPort)
		}
	case "http":
		return agentbay.Errorf(agentbay.Invalid, "PARAM_ERROR: http not supported; use https or wss")
	default:
		return agentbay.Errorf(agentbay.Invalid, "PARAM_ERROR: protocol %s not supported; use https or wss", clip(p.Protocol))
	}
	return nil
}

func getADBLink(ctx context.Context, c *call, p sessionParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	return answer{}, notOffered("phones")
}

// notOffered refuses what no session of this release has.
func notOffered(what string) error {
	return coded("NotSupported", agentbay.Errorf(agentbay.Invalid, "this bay does not offer %s yet", what))
}
