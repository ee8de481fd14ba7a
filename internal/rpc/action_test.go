package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/tool"
)

// everyAction is all that any client of the wire can ask for.
var everyAction = strings.Fields(`
CreateMcpSession GetSession GetSessionDetail ListSession DeleteSessionAsync ReleaseMcpSession PauseSessionAsync
ResumeSessionAsync RefreshSessionIdleTime SetLabel GetLabel GetMcpResource GetLink GetCdpLink GetAdbLink
ListMcpTools CallMcpTool InitBrowser GetContext ListContexts ModifyContext DeleteContext ClearContext
GetContextInfo SyncContext BindContexts DescribeSessionContexts DescribeContextFiles GetContextFileUploadUrl
GetContextFileDownloadUrl DeleteContextFile GetAndLoadInternalContext CreateNetwork DescribeNetwork
GetSkillMetaData ListSkillMetaData ApplyMqttToken HandleAIEngineMessage GetVolume ListVolumes DeleteVolume`)

// ours is what only our own clients ask for.
var ours = strings.Fields(`
CreateContext ListContextSnapshots RestoreContext CreateViewLink RevokeViewLinks DescribeControl RequestHelp AnswerHelp
StartRecording StopRecording ListRecordings`)

func TestEveryActionIsThereOrMissing(t *testing.T) {
	have := strings.Fields(missing)
	for _, a := range actions {
		have = append(have, a.name)
	}
	slices.Sort(have)
	want := slices.Sorted(slices.Values(append(everyAction, ours...)))
	if !slices.Equal(have, want) {
		t.Errorf("actions and missing.txt are\n%v\nwant\n%v", have, want)
	}
	const most = 11 // lower it as missing.txt shrinks; it never grows
	if n := len(strings.Fields(missing)); n > most {
		t.Errorf("missing.txt has %d actions, more than %d", n, most)
	}
}

func TestEveryCodeIsOnTheWire(t *testing.T) {
	seen := map[string]agentbay.Code{}
	for _, c := range agentbay.Codes {
		r := codes[c]
		if r.code == "" || r.status < 400 || r.link < 400 {
			t.Errorf("%s has no row: %+v", c, r)
		}
		if other, ok := seen[r.code]; ok {
			t.Errorf("%s and %s are both %s", c, other, r.code)
		}
		seen[r.code] = c
	}
}

// shapes is the type of each action's Data, as the strictest client decodes it.
var shapes = map[string]any{
	"CreateMcpSession": wireSession{},
	"GetSession":       wireStatus{},
	"GetSessionDetail": wireDetail{},
	"ListSession":      []struct{ SessionId, SessionStatus string }{},
	"GetLabel":         struct{ Labels string }{},
	"GetLink":          struct{ Url string }{},
	"GetMcpResource": struct {
		SessionId, ResourceUrl string
		DesktopInfo            struct{ AppId, AuthCode, ConnectionProperties, ResourceId, ResourceType, Ticket string }
	}{},
	"ListMcpTools": "",
	"CallMcpTool":  wireResult{},
}

type wireSession struct {
	SessionId, ErrMsg, AppInstanceId, ResourceId, ResourceUrl, NetworkInterfaceIp, HttpPort, Token, LinkUrl, WsUrl, ToolList string
	Success, VpcResource                                                                                                     bool
	ToolUrl                                                                                                                  string // our own
}

type wireStatus struct {
	wireSession
	Status   string
	Contexts []struct{ ID, Name string } `json:"contexts"`
}

type wireDetail struct {
	Aliuid, ApikeyId, AppInstanceGroupId, AppInstanceId, AppUserId, EndReason, ImageId, ImageType, PolicyId, RegionId, ResourceConfigId, Status string
	ImageDigest, Isolation, CreateTime, EndTime                                                                                                 string
	IdleTimeout                                                                                                                                 int64
	BizType, IsDeleted                                                                                                                          int32
	Id                                                                                                                                          int64
}

type wireResult struct {
	Content []struct {
		Type string `json:"type"`
		Text string `json:"text"`
		Blob string `json:"blob"`
	} `json:"content"`
	IsError bool `json:"isError"`
}

// A wireEnvelope has what every answer must have as a pointer, to see that it does.
type wireEnvelope struct {
	RequestId  *string
	Success    *bool
	Code       *string
	Message    *string
	Status     *int `json:"HttpStatusCode"`
	Data       json.RawMessage
	TotalCount *int
	MaxResults *int
	NextToken  *string
	Count      *int
}

var requestIDForm = regexp.MustCompile(`^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`)

// checkEnvelope checks what holds for every answer to an action.
func checkEnvelope(t *testing.T, action string, res *http.Response, body []byte) wireEnvelope {
	t.Helper()
	e := strict[wireEnvelope](t, body)
	if e.RequestId == nil || e.Success == nil || e.Code == nil || e.Message == nil || e.Status == nil {
		t.Fatalf("%s: the envelope is not complete: %s", action, body)
	}
	if !requestIDForm.MatchString(*e.RequestId) || res.Header.Get("X-Request-Id") != *e.RequestId {
		t.Errorf("%s: request ID %q, header %q", action, *e.RequestId, res.Header.Get("X-Request-Id"))
	}
	if *e.Status != res.StatusCode || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s: status %d says %d, type %s", action, res.StatusCode, *e.Status, res.Header.Get("Content-Type"))
	}
	if *e.Success != (*e.Code == "ok") || !*e.Success && *e.Message == "" {
		t.Errorf("%s: success %v with code %q and message %q", action, *e.Success, *e.Code, *e.Message)
	}
	if shape, ok := shapes[action]; ok && *e.Success {
		checkShape(t, action, shape, e.Data)
	}
	return e
}

// checkShape decodes data strictly into what shape is.
func checkShape(t *testing.T, action string, shape any, data []byte) {
	t.Helper()
	into := reflect.New(reflect.TypeOf(shape))
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into.Interface()); err != nil {
		t.Errorf("%s: Data %s: %v", action, data, err)
	}
	switch v := into.Elem().Interface().(type) {
	case wireStatus:
		if v.Contexts == nil {
			t.Errorf("%s: contexts are null", action)
		}
	case wireResult:
		if len(v.Content) != 1 || v.Content[0].Type != "text" {
			t.Errorf("%s: %s, want one item of text", action, data)
		}
	}
}

func TestActions(t *testing.T) {
	for name, tc := range map[string]struct {
		action string
		params []string
		status int
		code   string
		says   string // in the body
	}{
		"create":                     {"CreateMcpSession", []string{"ImageId", "", "Timeout", "600", "Labels", `{"a":"b"}`, "VpcResource", "False"}, 200, "ok", `"SessionId":"` + testID},
		"create, image not offered":  {"CreateMcpSession", []string{"ImageId", "mobile_latest"}, 200, "InvalidParameter", `"Data":{"Success":false,"ErrMsg":"no authorized app`},
		"create, host full":          {"CreateMcpSession", []string{"ImageId", "full"}, 200, "QuotaExceeded", `"ErrMsg":"the host is full"`},
		"create with contexts":       {"CreateMcpSession", []string{"PersistenceDataList", `[{"ContextId":"SdkCtx-1","Path":"/x"}]`}, 200, "ok", ""},
		"create with a context":      {"CreateMcpSession", []string{"ContextId", "SdkCtx-1"}, 200, "InvalidParameter", "create the session without ContextId"},
		"create with no contexts":    {"CreateMcpSession", []string{"PersistenceDataList", `[]`}, 200, "ok", ""},
		"create with a policy":       {"CreateMcpSession", []string{"McpPolicyId", "pol-1"}, 200, "InvalidParameter", "does not offer policies yet"},
		"create with a network":      {"CreateMcpSession", []string{"NetworkId", "net-1"}, 200, "InvalidParameter", "does not offer networks yet"},
		"create with skills":         {"CreateMcpSession", []string{"LoadSkill", "True"}, 200, "InvalidParameter", "does not offer skills yet"},
		"create, bad boolean":        {"CreateMcpSession", []string{"LoadSkill", "maybe"}, 400, "InvalidParameter", "LoadSkill must be true or false"},
		"create, bad number":         {"CreateMcpSession", []string{"Timeout", "ten"}, 400, "InvalidParameter", "Timeout must be a whole number"},
		"create, huge number":        {"CreateMcpSession", []string{"Timeout", "9223372036854775807"}, 200, "InvalidParameter", "Timeout is out of range"},
		"create, larger number":      {"CreateMcpSession", []string{"Timeout", "99999999999999999999"}, 400, "InvalidParameter", "Timeout must be a whole number"},
		"create, labels are a list":  {"CreateMcpSession", []string{"Labels", `["a"]`}, 400, "InvalidParameter", "array instead of object"},
		"create, labels of numbers":  {"CreateMcpSession", []string{"Labels", `{"a":1}`}, 400, "InvalidParameter", "number instead of string"},
		"get":                        {"GetSession", []string{"SessionId", testID}, 200, "ok", `"contexts":[]`},
		"get, unknown":               {"GetSession", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"get, nothing":               {"GetSession", nil, 400, "InvalidParameter", "SessionId is missing"},
		"get, empty":                 {"GetSession", []string{"SessionId", ""}, 400, "InvalidParameter", "SessionId is missing"},
		"get, not UTF-8":             {"GetSession", []string{"SessionId", "\xff"}, 400, "InvalidParameter", "SessionId is not UTF-8"},
		"get, ended":                 {"GetSession", []string{"SessionId", "ended"}, 400, "InvalidMcpSession.NotFound", "not found: it has ended (idle)"},
		"detail":                     {"GetSessionDetail", []string{"SessionId", testID}, 200, "ok", `"Status":"RUNNING"`},
		"detail, ended":              {"GetSessionDetail", []string{"SessionId", "ended"}, 200, "ok", `"Status":"FINISH"`},
		"detail, unknown":            {"GetSessionDetail", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"list":                       {"ListSession", []string{"Labels", "{}", "MaxResults", "10"}, 200, "ok", `"TotalCount":2,"MaxResults":10,"NextToken":"next","Data":[{`},
		"list, by status":            {"ListSession", []string{"Status", "deleted"}, 200, "ok", `"SessionStatus":"DELETED"`},
		"list, no such status":       {"ListSession", []string{"Status", "ASLEEP"}, 400, "InvalidParameter", "ASLEEP"},
		"list, negative":             {"ListSession", []string{"MaxResults", "-1"}, 400, "InvalidParameter", "MaxResults"},
		"list, bad token":            {"ListSession", []string{"NextToken", "bad"}, 400, "InvalidParameter", "token"},
		"delete":                     {"DeleteSessionAsync", []string{"SessionId", testID}, 200, "ok", ""},
		"delete, as it once was":     {"ReleaseMcpSession", []string{"SessionId", testID}, 200, "ok", ""},
		"delete, unknown":            {"DeleteSessionAsync", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"keep alive":                 {"RefreshSessionIdleTime", []string{"SessionId", testID}, 200, "ok", ""},
		"keep alive, unknown":        {"RefreshSessionIdleTime", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"set labels":                 {"SetLabel", []string{"SessionId", testID, "Labels", `{"a":"b"}`}, 200, "ok", ""},
		"set labels, none":           {"SetLabel", []string{"SessionId", testID}, 400, "InvalidParameter", "Labels is missing"},
		"set labels, not JSON":       {"SetLabel", []string{"SessionId", testID, "Labels", `{"a":`}, 400, "InvalidParameter", "does not parse"},
		"labels":                     {"GetLabel", []string{"SessionId", testID}, 200, "ok", `{"Labels":"{\"k\":\"<v 1>\"}"}`},
		"labels, none":               {"GetLabel", []string{"SessionId", "bare"}, 200, "ok", `{"Labels":"{}"}`},
		"info":                       {"GetMcpResource", []string{"SessionId", testID}, 200, "ok", `resourceId=p-`},
		"info has a ticket":          {"GetMcpResource", []string{"SessionId", testID}, 200, "ok", `"Ticket":"` + testToken + `"`},
		"info, ended":                {"GetMcpResource", []string{"SessionId", "ended"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"link, https":                {"GetLink", []string{"SessionId", testID, "ProtocolType", "https", "Port", "30100", "Option", "{}"}, 200, "ok", "/port/" + testID + "/30100/tok-"},
		"link, port only":            {"GetLink", []string{"SessionId", testID, "Port", "30199"}, 200, "ok", `"Url":"ws://`},
		"link, unknown":              {"GetLink", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"link, nothing":              {"GetLink", []string{"SessionId", testID}, 400, "PARAM_ERROR", "only BrowserUse image support cdp"},
		"link, http":                 {"GetLink", []string{"SessionId", testID, "ProtocolType", "http"}, 400, "PARAM_ERROR", "http not supported"},
		"link, https without port":   {"GetLink", []string{"SessionId", testID, "ProtocolType", "https"}, 400, "PARAM_ERROR", "port is not valid"},
		"link, ftp":                  {"GetLink", []string{"SessionId", testID, "ProtocolType", "ftp", "Port", "30100"}, 400, "PARAM_ERROR", "ftp not supported"},
		"link, half a port":          {"GetLink", []string{"SessionId", testID, "ProtocolType", "wss", "Port", "30150.5"}, 400, "PARAM_ERROR", "PARAM_ERROR"},
		"link, port too low":         {"GetLink", []string{"SessionId", testID, "Port", "30099"}, 400, "PARAM_ERROR", "from 30100 to 30199"},
		"link, port too high":        {"GetLink", []string{"SessionId", testID, "Port", "30200"}, 400, "PARAM_ERROR", "from 30100 to 30199"},
		"browser, unknown":           {"GetCdpLink", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"phone":                      {"GetAdbLink", []string{"SessionId", testID, "Option", "{}"}, 400, "NotSupported", "does not offer phones"},
		"phone, unknown":             {"GetAdbLink", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"tools":                      {"ListMcpTools", []string{"ImageId", "code_latest"}, 200, "ok", `\"server\":\"wuying_codespace\",\"tool\":\"run_code\"`},
		"tools, unknown image":       {"ListMcpTools", []string{"ImageId", "removed"}, 400, "InvalidParameter", "there is no image"},
		"call":                       {"CallMcpTool", []string{"SessionId", testID, "Name", "shell", "Args", `{"command":"true"}`, "Server", "", "AutoGenSession", "False"}, 200, "ok", `"Data":{"content":[{"type":"text","text":"done"}],"isError":false}`},
		"call, no arguments":         {"CallMcpTool", []string{"SessionId", testID, "Name", "get_metrics"}, 200, "ok", "done"},
		"call, null arguments":       {"CallMcpTool", []string{"SessionId", testID, "Name", "get_metrics", "Args", " null "}, 200, "ok", "done"},
		"call, malformed arguments":  {"CallMcpTool", []string{"SessionId", testID, "Name", "shell", "Args", `{"command":`}, 400, "InvalidParameter", "Args is not the JSON"},
		"call, arguments are a list": {"CallMcpTool", []string{"SessionId", testID, "Name", "shell", "Args", `[1]`}, 400, "InvalidParameter", "must be a JSON object"},
		"call, no name":              {"CallMcpTool", []string{"SessionId", testID}, 400, "InvalidParameter", "Name is missing"},
		"call, unknown session":      {"CallMcpTool", []string{"SessionId", "s-1", "Name", "shell"}, 400, "InvalidMcpSession.NotFound", "not found"},
		"not there yet":              {"PauseSessionAsync", []string{"SessionId", testID}, 404, "InvalidAction.NotFound", "not offered by this bay yet"},
		"no such action":             {"Explode", nil, 404, "InvalidAction.NotFound", "not found"},
		"no action":                  {"", nil, 404, "InvalidAction.NotFound", "no action"},
	} {
		t.Run(name, func(t *testing.T) {
			bay := newMemBay()
			bay.sessions["ended"] = &agentbay.SessionInfo{ID: "ended", State: agentbay.Finished, EndReason: "idle"}
			if strings.HasPrefix(name, "labels, none") {
				bay.sessions["bare"] = &agentbay.SessionInfo{ID: "bare", State: agentbay.Running}
			}
			srv, log := serve(t, bay)
			res, body := act(t, srv, tc.action, tc.params...)
			e := checkEnvelope(t, tc.action, res, body)
			if res.StatusCode != tc.status || *e.Code != tc.code || !strings.Contains(string(body), tc.says) {
				t.Errorf("%d %s\nwant %d, %s, %s", res.StatusCode, body, tc.status, tc.code, tc.says)
			}
			if !strings.Contains(log.String(), *e.RequestId) || strings.Contains(log.String(), testKey) {
				t.Errorf("the log lacks request ID %s, or has the key: %s", *e.RequestId, log)
			}
		})
	}
}

func TestKeysAreAskedFor(t *testing.T) {
	srv, log := serve(t, newMemBay())
	for _, tc := range []struct {
		authorization, code string
	}{
		{"", "NOT_LOGIN"},
		{"Bearer", "NOT_LOGIN"},
		{"Bearer ", "NOT_LOGIN"},
		{"Bearer akm-wrong", "NOT_LOGIN"},
		{"Bearer " + testKey, "ok"},
		{"bearer  " + testKey, "ok"},
		{testKey, "ok"},
	} {
		res, err := http.Get(srv.URL + "/?" + url.Values{"Action": {"ListSession"}, "Authorization": {tc.authorization}}.Encode())
		if err != nil {
			t.Fatal(err)
		}
		e := checkEnvelope(t, "ListSession", res, readAll(t, res))
		if *e.Code != tc.code || *e.Success != (res.StatusCode == 200) || tc.code != "ok" && res.StatusCode != 400 {
			t.Errorf("%q: %d %s, want %s", tc.authorization, res.StatusCode, *e.Code, tc.code)
		}
	}
	if strings.Contains(log.String(), testKey) {
		t.Error("a key is in the log")
	}
}

func TestParametersComeInQueryAndForm(t *testing.T) {
	bay := newMemBay()
	srv, _ := serve(t, bay)
	body := strings.NewReader("Timeout=60&Labels=%7B%22a%22%3A%22b+c%22%7D&ImageId=&Unknown=x&ExtraConfigs.Mobile.LockResolution=True")
	res, err := http.Post(srv.URL+"/?Action=CreateMcpSession&ImageId=code_latest&Authorization=Bearer%20"+testKey, "", body)
	if err != nil {
		t.Fatal(err)
	}
	checkEnvelope(t, "CreateMcpSession", res, readAll(t, res))
	want := agentbay.SessionSpec{Image: "code_latest", IdleTimeout: time.Minute, Labels: map[string]string{"a": "b c"}}
	if got := bay.spec; got.Image != want.Image || got.IdleTimeout != want.IdleTimeout || got.Labels["a"] != "b c" {
		t.Errorf("created %+v, want %+v", got, want)
	}
}

func TestLinksAreAsTheClientCame(t *testing.T) {
	for name, tc := range map[string]struct {
		host, public, image, link, socket string
	}{
		"by name":          {"bay.example:8443", "", "code_latest", "http://bay.example:8443/link/", "ws://bay.example:8443/ws/"},
		"by IPv6 address":  {"[::1]:80", "", "code_latest", "http://[::1]:80/link/", "ws://[::1]:80/ws/"},
		"public":           {"10.0.0.1", "https://bay.example/", "code_latest", "https://bay.example/link/", "wss://bay.example/ws/"},
		"without a link":   {"bay.example", "", "windows_latest2", "", "ws://bay.example/ws/"},
		"by another's URL": {`a"b`, "", "code_latest", "http://127.0.0.1:", "ws://127.0.0.1:"},
	} {
		bay := newMemBay()
		srv, _ := serve(t, bay)
		door := srv.Config.Handler.(*Door)
		door.PublicURL = tc.public
		bay.noLink = tc.link == ""
		req, _ := http.NewRequest("GET", srv.URL+"/?Action=CreateMcpSession&ImageId="+tc.image+"&Authorization="+testKey, nil)
		if req.Host = tc.host; tc.host == `a"b` {
			req.Host = "a!b"
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := strict[wireSession](t, checkEnvelope(t, "CreateMcpSession", res, readAll(t, res)).Data)
		if !strings.HasPrefix(s.LinkUrl, tc.link) || (tc.link == "") != (s.LinkUrl == "") || !strings.HasPrefix(s.WsUrl, tc.socket) || s.ToolUrl == "" {
			t.Errorf("%s: link %s, socket %s; want %s, %s", name, s.LinkUrl, s.WsUrl, tc.link, tc.socket)
		}
	}
}

func TestToolListNamesEveryToolAndServer(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	res, body := act(t, srv, "ListMcpTools")
	text := strict[string](t, checkEnvelope(t, "ListMcpTools", res, body).Data)
	list := strict[[]struct {
		Name, Description, Server, Tool string
		InputSchema                     struct {
			Type       string
			Properties map[string]any
			Required   []string
		}
	}](t, []byte(text))
	if len(list) != len(tool.All()) {
		t.Errorf("%d tools, want %d", len(list), len(tool.All()))
	}
	for _, x := range list {
		if x.Name == "" || x.Description == "" || x.Server == "" || x.Tool != x.Name || x.InputSchema.Type != "object" {
			t.Errorf("tool %+v is not complete", x)
		}
	}
}

func TestArgumentsAToolDoesNotTakeAreItsFailure(t *testing.T) {
	bay := newMemBay()
	bay.call = func(context.Context, tool.Call) (*tool.Reply, error) {
		return nil, agentbay.Errorf(agentbay.Invalid, "arguments of shell: no number")
	}
	srv, _ := serve(t, bay)
	res, body := act(t, srv, "CallMcpTool", "SessionId", testID, "Name", "shell", "Args", `{"timeout_ms":"x"}`)
	r := strict[wireResult](t, checkEnvelope(t, "CallMcpTool", res, body).Data)
	if want := "Execution failed. Error code:-32602 Error message: arguments of shell: no number"; !r.IsError || r.Content[0].Text != want {
		t.Errorf("%+v, want the failure %q", r, want)
	}
}

func TestRequestsTooLongAreRefused(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	srv.Config.Handler.(*Door).MaxAction = 1000
	res, body := act(t, srv, "SetLabel", "SessionId", testID, "Labels", `{"a":"`+strings.Repeat("b", 2000)+`"}`)
	if e := checkEnvelope(t, "SetLabel", res, body); *e.Code != "InvalidParameter" || !strings.Contains(*e.Message, "longer than 1000 bytes") {
		t.Errorf("%s", body)
	}
	srv.Config.Handler.(*Door).MaxAction = 1 << 20
	res, body = act(t, srv, "SetLabel", "SessionId", testID, "Labels", `{"a":"`+strings.Repeat("b", 2000)+`"}`)
	if e := checkEnvelope(t, "SetLabel", res, body); *e.Code != "ok" {
		t.Errorf("%s", body)
	}
	if held := srv.Config.Handler.(*Door).held.used.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

func TestServerHoldsNoMoreThanItShould(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	srv.Config.Handler.(*Door).MaxHeld = 10_000
	res, body := act(t, srv, "SetLabel", "SessionId", testID, "Labels", `{"a":"`+strings.Repeat("b", 20_000)+`"}`)
	if e := checkEnvelope(t, "SetLabel", res, body); *e.Code != "QuotaExceeded" {
		t.Errorf("%s, want QuotaExceeded", body)
	}
	res, body = act(t, srv, "ListSession")
	if e := checkEnvelope(t, "ListSession", res, body); *e.Code != "ok" {
		t.Errorf("afterwards: %s", body)
	}
}

func TestUnknownPathsAndMethodsAreAnswered(t *testing.T) {
	srv, _ := serve(t, newMemBay())
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/nothing", 404},
		{"GET", "/link/" + testID, 404},
		{"GET", "/ws/", 404},
		{"GET", "/view?resourceId=p-1", 404},
		{"PUT", "/", 405},
		{"GET", "/link/" + testID + "/callTool", 405},
	} {
		req, _ := http.NewRequest(tc.method, srv.URL+tc.path, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var e map[string]any
		if err := json.Unmarshal(readAll(t, res), &e); err != nil || res.StatusCode != tc.status || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d %v %v, want %d", tc.method, tc.path, res.StatusCode, e, err, tc.status)
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add("Action=CreateMcpSession&Timeout=1", "Labels=%7B%22a%22%3A%22b%22%7D&LoadSkill=True")
	f.Add("%zz", "a=b;c")
	f.Add("", "PersistenceDataList=[{}]&Labels=null&Timeout=-1")
	f.Fuzz(func(t *testing.T, query, form string) {
		p, err := parseParams(query, form)
		if err != nil {
			if agentbay.CodeOf(err) != agentbay.Invalid {
				t.Errorf("parseParams: %v, want Invalid", err)
			}
			return
		}
		for _, into := range []any{&createParams{}, &listParams{}, &setLabelParams{}, &callToolParams{}, &linkParams{}, &listFilesParams{}, &syncParams{}} {
			if err := p.decode(into); err != nil && agentbay.CodeOf(err) != agentbay.Invalid {
				t.Errorf("decode %T: %v, want Invalid", into, err)
			}
		}
	})
}
