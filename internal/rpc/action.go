package rpc

import (
	"context"
	_ "embed"
	"net/http"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
)

// missing is what we do not do yet, one action a line. It shrinks by hand and
// never grows.
//
//go:embed missing.txt
var missing string

// An action is one operation of the wire.
type action struct {
	name  string
	serve func(ctx context.Context, c *call) (answer, error)
}

// A call is an action being performed for somebody.
type call struct {
	bay    agentbay.Service // of who asks
	door   *Door
	origin origin
	params params
}

// An answer is what an action has to say. The zero answer is success.
type answer struct {
	data    any
	page    *page
	refused error      // told in a 200, beside data
	reply   *toolReply // streamed as data
}

// actions is every action there is.
var actions = []action{
	declare("CreateMcpSession", createSession),
	declare("GetSession", getSession),
	declare("GetSessionDetail", getSessionDetail),
	declare("ListSession", listSession),
	declare("DeleteSessionAsync", deleteSession),
	declare("ReleaseMcpSession", deleteSession),
	declare("RefreshSessionIdleTime", refreshIdleTime),
	declare("SetLabel", setLabel),
	declare("GetLabel", getLabel),
	declare("GetMcpResource", getResource),
	declare("GetLink", getLink),
	declare("GetCdpLink", getCDPLink),
	declare("GetAdbLink", getADBLink),
	declare("InitBrowser", initBrowser),
	declare("ListMcpTools", listTools),
	declare("CallMcpTool", callTool),
	declare("GetContext", getContext),
	declare("ListContexts", listContexts),
	declare("ModifyContext", modifyContext),
	declare("DeleteContext", deleteContext),
	declare("ClearContext", clearContext),
	declare("BindContexts", bindContexts),
	declare("DescribeSessionContexts", describeSessionContexts),
	declare("SyncContext", syncContext),
	declare("GetContextInfo", getContextInfo),
	declare("DescribeContextFiles", describeContextFiles),
	declare("GetContextFileUploadUrl", uploadURL),
	declare("GetContextFileDownloadUrl", downloadURL),
	declare("DeleteContextFile", deleteContextFile),
	declare("GetAndLoadInternalContext", loadInternalContext),

	// Our own.
	declare("CreateContext", createContext),
	declare("ListContextSnapshots", listSnapshots),
	declare("RestoreContext", restoreContext),
	declare("CreateViewLink", createViewLink),
	declare("RevokeViewLinks", revokeViewLinks),
	declare("DescribeControl", describeControl),
	declare("RequestHelp", requestHelp),
	declare("AnswerHelp", answerHelp),
	declare("StartRecording", startRecording),
	declare("StopRecording", stopRecording),
	declare("ListRecordings", listRecordings),
}

// declare makes an action of a function and the struct its parameters go into.
func declare[P any](name string, serve func(context.Context, *call, P) (answer, error)) action {
	return action{name, func(ctx context.Context, c *call) (answer, error) {
		var p P
		if err := c.params.decode(&p); err != nil {
			return answer{}, err
		}
		return serve(ctx, c, p)
	}}
}

// serveAction answers one action.
func (d *Door) serveAction(x *exchange) {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodPost {
		x.action = "unknown method"
		x.fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "an action is a GET or a POST", nil)
		return
	}
	p, done, err := d.readParams(x)
	if err != nil {
		x.failWith(err)
		return
	}
	defer done()
	x.action, x.session = p.get("Action"), p.get("SessionId")
	i := slices.IndexFunc(actions, func(a action) bool { return a.name == x.action })
	if i < 0 {
		x.fail(http.StatusNotFound, "InvalidAction.NotFound", noAction(x.action), nil)
		return
	}
	a, err := d.perform(x, actions[i], p)
	if err != nil {
		x.failWith(err)
		return
	}
	x.succeed(a)
}

// noAction says why there is no such action.
func noAction(name string) string {
	if name == "" {
		return "no action was asked for; the parameter Action names one"
	}
	if slices.Contains(strings.Fields(missing), name) {
		return "action " + name + " is not offered by this bay yet (not found)"
	}
	return "action " + clip(name) + " not found"
}

// perform asks who is calling and does what they ask.
func (d *Door) perform(x *exchange, a action, p params) (answer, error) {
	ctx := x.r.Context()
	key := bearer(p.get("Authorization"))
	if key == "" {
		return answer{}, agentbay.Errorf(agentbay.Denied, "no API key was given; set AGENTBAY_API_KEY, or pass the parameter Authorization=Bearer <key>")
	}
	bay, err := d.Bay.Key(ctx, key)
	if err != nil {
		return answer{}, err
	}
	return a.serve(ctx, &call{bay: bay, door: d, origin: d.originOf(x.r), params: p})
}

// bearer is the key in a credential. A bare key is one too.
func bearer(credential string) string {
	credential = strings.TrimSpace(credential)
	if scheme, key, ok := strings.Cut(credential, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return credential
}

// succeed answers with what an action had to say.
func (x *exchange) succeed(a answer) {
	e := envelope{RequestID: x.id, Success: true, Code: codeOK, Status: http.StatusOK, page: a.page, Data: a.data}
	if a.refused != nil {
		e.Success, e.Code, e.Message = false, rowOf(a.refused).code, agentbay.MessageOf(a.refused)
		x.code, x.cause = e.Code, a.refused
	}
	if a.reply == nil {
		x.json(http.StatusOK, e)
		return
	}
	head := encode(e)
	head = append(head[:len(head)-1], `,"Data":`...)
	if err := x.stream(head, a.reply, "}"); err != nil {
		x.failWith(err)
	}
}
