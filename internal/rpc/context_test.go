package rpc

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentbay/agentbay"
)

const testContext = "SdkCtx-04bdwfj9q2k1mzt7x5r8c3vn6h"

var testTime = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// A memContexts is contexts of which one is there, and remembers what it was
// asked. What it answers otherwise is the test's to say.
type memContexts struct {
	err    error // every answer, if not nil
	anyID  bool  // every context is there
	tasks  []agentbay.SyncTask
	mounts []agentbay.ContextMount

	asking sync.Mutex
	asked  any // the last question that had something to it; guarded by asking
}

var _ agentbay.ContextService = (*memContexts)(nil)

func (m *memContexts) remember(question any) error {
	m.asking.Lock()
	defer m.asking.Unlock()
	m.asked = question
	return m.err
}

func (m *memContexts) known(id agentbay.ContextID, question any) error {
	if err := m.remember(question); err != nil {
		return err
	}
	if id != testContext && !m.anyID {
		return agentbay.Errorf(agentbay.NotFound, "context %s not found", id)
	}
	return nil
}

func contextOf(id agentbay.ContextID, name string) *agentbay.ContextInfo {
	return &agentbay.ContextInfo{ID: id, Name: name, State: agentbay.ContextAvailable, CreatedAt: testTime, UsedAt: testTime, Files: 3, Bytes: 1 << 40}
}

func (m *memContexts) CreateContext(_ context.Context, name string) (*agentbay.ContextInfo, error) {
	if name == "taken" {
		return nil, agentbay.Errorf(agentbay.Conflict, "there is a context called taken")
	}
	return contextOf(testContext, name), m.remember(name)
}

func (m *memContexts) Context(_ context.Context, id agentbay.ContextID) (*agentbay.ContextInfo, error) {
	return contextOf(id, "my-ctx"), m.known(id, id)
}

func (m *memContexts) ContextNamed(_ context.Context, name string, create bool) (*agentbay.ContextInfo, error) {
	if name == "nope" && !create {
		return nil, agentbay.Errorf(agentbay.NotFound, "context nope not found")
	}
	return contextOf(testContext, name), m.remember(create)
}

func (m *memContexts) Contexts(_ context.Context, q agentbay.ContextQuery) (*agentbay.ContextPage, error) {
	return &agentbay.ContextPage{Contexts: []agentbay.ContextInfo{*contextOf(testContext, "my-ctx")}, Total: 15, Next: "next"}, m.remember(q)
}

func (m *memContexts) RenameContext(_ context.Context, id agentbay.ContextID, name string) error {
	if name == "taken" {
		return agentbay.Errorf(agentbay.Conflict, "there is a context called taken")
	}
	return m.known(id, name)
}

func (m *memContexts) DeleteContext(_ context.Context, id agentbay.ContextID) error {
	return m.known(id, id)
}

func (m *memContexts) ClearContext(_ context.Context, id agentbay.ContextID) error {
	return m.known(id, id)
}

func (m *memContexts) MountContexts(_ context.Context, _ agentbay.SessionID, mounts ...agentbay.ContextMount) error {
	return m.known(mounts[0].Context, mounts)
}

func (m *memContexts) ContextMounts(context.Context, agentbay.SessionID) ([]agentbay.ContextMount, error) {
	return m.mounts, m.err
}

func (m *memContexts) Sync(_ context.Context, req agentbay.SyncRequest) error {
	if req.Context == "" {
		return m.remember(req)
	}
	return m.known(req.Context, req)
}

func (m *memContexts) Syncs(_ context.Context, q agentbay.SyncQuery) ([]agentbay.SyncTask, error) {
	return m.tasks, m.remember(q)
}

func (m *memContexts) TransferContext(_ context.Context, id agentbay.SessionID) (agentbay.ContextMount, error) {
	return agentbay.ContextMount{Context: "SdkCtx-hidden", Path: "/tmp/file-transfer"}, m.remember(id)
}

type fileQuestion struct {
	dir         string
	skip, limit int
}

func (m *memContexts) ContextFiles(_ context.Context, id agentbay.ContextID, dir string, skip, limit int) (*agentbay.ContextFilePage, error) {
	return &agentbay.ContextFilePage{Total: 120, Files: []agentbay.ContextFile{
		{ID: "file-1", Name: "d", Path: "/tmp/d", Dir: true, SavedAt: testTime, ModifiedAt: testTime},
		{ID: "file-2", Name: "l", Path: "/tmp/l", Link: "d", SavedAt: testTime, ModifiedAt: testTime},
		{ID: "file-3", Name: "f", Path: "/tmp/f", Size: 1 << 40, SavedAt: testTime, ModifiedAt: testTime},
	}}, m.known(id, fileQuestion{dir, skip, limit})
}

func (m *memContexts) UploadURL(_ context.Context, id agentbay.ContextID, path string) (agentbay.FileURL, error) {
	return agentbay.FileURL{URL: "/objects/tok-ticket/f", Expires: testTime}, m.known(id, path)
}

func (m *memContexts) DownloadURL(_ context.Context, id agentbay.ContextID, path string) (agentbay.FileURL, error) {
	if path == "/none" {
		return agentbay.FileURL{}, agentbay.Errorf(agentbay.NotFound, "file /none not found")
	}
	return agentbay.FileURL{URL: "https://s3.example/f?sig=1", Expires: testTime}, m.known(id, path)
}

func (m *memContexts) DeleteContextFile(_ context.Context, id agentbay.ContextID, path string) error {
	return m.known(id, path)
}

func (m *memContexts) Snapshots(_ context.Context, id agentbay.ContextID) ([]agentbay.Snapshot, error) {
	return []agentbay.Snapshot{{ID: "snap-1", At: testTime, Reason: "session", Session: testID, Files: 3, Bytes: 5, Current: true}}, m.known(id, id)
}

func (m *memContexts) RestoreContext(_ context.Context, id agentbay.ContextID, snapshot string) error {
	return m.known(id, snapshot)
}

// Types of Data as the strictest client decodes them.
type (
	wireContext struct {
		Id, Name, State, OsType, CreateTime, LastUsedTime string
		FileCount, Bytes                                  int64
	}
	wireFile struct {
		FileId, FileName, FilePath, FileType, GmtCreate, GmtModified, Status, Link string
		Size                                                                       int64
	}
	wireURL struct {
		Url        string
		ExpireTime int64
	}
)

func init() {
	for name, shape := range map[string]any{
		"GetContext": wireContext{}, "CreateContext": wireContext{}, "ListContexts": []wireContext{},
		"DescribeSessionContexts":   []struct{ BindTime, ContextId, ContextName, Path, Policy string }{},
		"GetContextInfo":            struct{ ContextStatus string }{},
		"DescribeContextFiles":      []wireFile{},
		"GetContextFileUploadUrl":   wireURL{},
		"GetContextFileDownloadUrl": wireURL{},
		"GetAndLoadInternalContext": []struct{ ContextId, ContextPath, ContextType string }{},
		"ListContextSnapshots": []struct {
			SnapshotId, CreateTime, Reason, SessionId string
			FileCount, Bytes                          int64
			Current                                   bool
		}{},
	} {
		shapes[name] = shape
	}
}

const oneMount = `[{"ContextId":"` + testContext + `","Path":"/tmp/data"}]`

func TestContextActions(t *testing.T) {
	mount := agentbay.ContextMount{Context: testContext, Path: "/tmp/data", Policy: agentbay.DefaultSyncPolicy}
	for name, tc := range map[string]struct {
		action string
		params []string
		status int
		code   string
		says   string // in the body
		asked  any    // of the bay
	}{
		"get by name":                  {"GetContext", []string{"Name", "my-ctx", "AllowCreate", "False"}, 200, "ok", `"Id":"` + testContext + `","Name":"my-ctx","State":"available"`, false},
		"get by name or create":        {"GetContext", []string{"Name", "my-ctx", "AllowCreate", "True", "LoginRegionId", "cn-hangzhou"}, 200, "ok", `"CreateTime":"2026-11-22T08:00:00Z"`, true},
		"get by ID":                    {"GetContext", []string{"ContextId", testContext, "AllowCreate", "false"}, 200, "ok", `"Bytes":1099511627776`, agentbay.ContextID(testContext)},
		"get, not there":               {"GetContext", []string{"Name", "nope", "AllowCreate", "false"}, 200, "ContextNotFound", "context nope not found", nil},
		"get, no such ID":              {"GetContext", []string{"ContextId", "SdkCtx-1"}, 200, "ContextNotFound", "context SdkCtx-1 not found", agentbay.ContextID("SdkCtx-1")},
		"get, nothing":                 {"GetContext", []string{"AllowCreate", "false"}, 200, "InvalidParameter", "Name or its ContextId", nil},
		"create":                       {"CreateContext", []string{"Name", "new"}, 200, "ok", `"Name":"new"`, "new"},
		"create what is there":         {"CreateContext", []string{"Name", "taken"}, 200, "OperationConflict", "called taken", nil},
		"list":                         {"ListContexts", []string{"MaxResults", "10"}, 200, "ok", `"TotalCount":15,"MaxResults":10,"NextToken":"next","Data":[{`, agentbay.ContextQuery{Limit: 10}},
		"list, more":                   {"ListContexts", []string{"MaxResults", "1000", "NextToken", "t", "SessionId", testID, "ContextType", "x"}, 200, "ok", `"MaxResults":100`, agentbay.ContextQuery{Session: testID, Limit: 100, Token: "t"}},
		"list, negative":               {"ListContexts", []string{"MaxResults", "-1"}, 400, "InvalidParameter", "MaxResults", nil},
		"rename":                       {"ModifyContext", []string{"Id", testContext, "Name", "ren"}, 200, "ok", "", "ren"},
		"rename to a taken name":       {"ModifyContext", []string{"Id", testContext, "Name", "taken"}, 200, "OperationConflict", "called taken", nil},
		"rename, no name":              {"ModifyContext", []string{"Id", testContext}, 400, "InvalidParameter", "Name is missing", nil},
		"delete":                       {"DeleteContext", []string{"Id", testContext}, 200, "ok", "", agentbay.ContextID(testContext)},
		"delete, unknown":              {"DeleteContext", []string{"Id", "SdkCtx-1"}, 200, "ContextNotFound", "not found", agentbay.ContextID("SdkCtx-1")},
		"clear":                        {"ClearContext", []string{"Id", testContext}, 200, "ok", "", agentbay.ContextID(testContext)},
		"clear, unknown":               {"ClearContext", []string{"Id", "SdkCtx-1"}, 200, "ContextNotFound", "not found", agentbay.ContextID("SdkCtx-1")},
		"bind":                         {"BindContexts", []string{"SessionId", testID, "PersistenceDataList", oneMount}, 200, "ok", "", []agentbay.ContextMount{mount}},
		"bind nothing":                 {"BindContexts", []string{"SessionId", testID, "PersistenceDataList", "[]"}, 200, "ok", "", nil},
		"bind, no list":                {"BindContexts", []string{"SessionId", testID}, 400, "InvalidParameter", "PersistenceDataList is missing", nil},
		"bind, no JSON":                {"BindContexts", []string{"SessionId", testID, "PersistenceDataList", "[{"}, 400, "InvalidParameter", "PersistenceDataList is not the JSON", nil},
		"bind, bad policy":             {"BindContexts", []string{"SessionId", testID, "PersistenceDataList", `[{"ContextId":"c","Path":"/x","Policy":"{\"uploadPolicy\":{\"uploadMode\":\"Zip\"}}"}]`}, 400, "InvalidParameter", `mount 1, at \"/x\": the policy's uploadMode cannot be \"Zip\"`, nil},
		"bind, unknown session":        {"BindContexts", []string{"SessionId", "s-1", "PersistenceDataList", oneMount}, 400, "InvalidMcpSession.NotFound", "not found", nil},
		"bind, unknown context":        {"BindContexts", []string{"SessionId", testID, "PersistenceDataList", `[{"ContextId":"c","Path":"/x"}]`}, 200, "ContextNotFound", "not found", []agentbay.ContextMount{{Context: "c", Path: "/x", Policy: agentbay.DefaultSyncPolicy}}},
		"bindings":                     {"DescribeSessionContexts", []string{"SessionId", testID}, 200, "ok", `{"BindTime":"2026-11-22T08:00:00Z","ContextId":"c1","ContextName":"one","Path":"/tmp/data/","Policy":"{\"uploadPolicy\"`, nil},
		"bindings, unknown":            {"DescribeSessionContexts", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found", nil},
		"session has contexts":         {"GetSession", []string{"SessionId", testID}, 200, "ok", `"contexts":[{"id":"c1","name":"one"}]`, nil},
		"sync all":                     {"SyncContext", []string{"SessionId", testID}, 200, "ok", "", agentbay.SyncRequest{Session: testID, Mode: agentbay.Upload}},
		"sync one":                     {"SyncContext", []string{"SessionId", testID, "ContextId", testContext, "Path", "/tmp/file-transfer/", "Mode", "Download"}, 200, "ok", "", agentbay.SyncRequest{Session: testID, Mode: agentbay.Download, Context: testContext, Path: "/tmp/file-transfer/"}},
		"sync, no such mode":           {"SyncContext", []string{"SessionId", testID, "Mode", "sideways"}, 400, "InvalidParameter", "sideways", nil},
		"sync, unknown session":        {"SyncContext", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found", nil},
		"sync, unknown context":        {"SyncContext", []string{"SessionId", testID, "ContextId", "c", "Path", "/x"}, 200, "ContextNotFound", "not found", agentbay.SyncRequest{Session: testID, Mode: agentbay.Upload, Context: "c", Path: "/x"}},
		"tasks":                        {"GetContextInfo", []string{"SessionId", testID}, 200, "ok", `{\"type\":\"data\",\"data\":\"[{\\\"contextId\\\":\\\"c1\\\"`, agentbay.SyncQuery{Session: testID}},
		"tasks of one kind":            {"GetContextInfo", []string{"SessionId", testID, "ContextId", "c1", "Path", "/a b/", "TaskType", "download"}, 200, "ok", "", agentbay.SyncQuery{Session: testID, Context: "c1", Path: "/a b/", Mode: agentbay.Download}},
		"tasks, unknown session":       {"GetContextInfo", []string{"SessionId", "s-1"}, 400, "InvalidMcpSession.NotFound", "not found", nil},
		"files":                        {"DescribeContextFiles", []string{"ContextId", testContext, "ParentFolderPath", "/tmp", "PageNumber", "1", "PageSize", "50"}, 200, "ok", `"Count":120,"Data":[{"FileId":"file-1","FileName":"d","FilePath":"/tmp/d","FileType":"FOLDER"`, fileQuestion{"/tmp", 0, 50}},
		"files, page 3":                {"DescribeContextFiles", []string{"ContextId", testContext, "ParentFolderPath", "tmp", "PageNumber", "3", "PageSize", "20"}, 200, "ok", `"FileType":"FILE"`, fileQuestion{"/tmp", 40, 20}},
		"files of the whole":           {"DescribeContextFiles", []string{"ContextId", testContext}, 200, "ok", `"Link":"d"`, fileQuestion{"/", 0, 50}},
		"files from anywhere":          {"DescribeContextFiles", []string{"ContextId", testContext, "ParentFolderPath", `c:\x`, "Skip", "7"}, 200, "ok", "", fileQuestion{`c:\x`, 7, 50}},
		"files, negative":              {"DescribeContextFiles", []string{"ContextId", testContext, "PageNumber", "-1"}, 400, "InvalidParameter", "no page -1", nil},
		"files, far away":              {"DescribeContextFiles", []string{"ContextId", testContext, "PageNumber", "9223372036854775807", "PageSize", "9223372036854775807"}, 400, "InvalidParameter", "no page", nil},
		"files, unknown context":       {"DescribeContextFiles", []string{"ContextId", "c"}, 200, "ContextNotFound", "not found", fileQuestion{"/", 0, 50}},
		"URL to put":                   {"GetContextFileUploadUrl", []string{"ContextId", testContext, "FilePath", "tmp/a b.txt"}, 200, "ok", `/objects/tok-ticket/f","ExpireTime":1795334400`, "/tmp/a b.txt"},
		"URL to get":                   {"GetContextFileDownloadUrl", []string{"ContextId", testContext, "FilePath", "/f"}, 200, "ok", `"Url":"https://s3.example/f?sig=1"`, "/f"},
		"URL of what is not there":     {"GetContextFileDownloadUrl", []string{"ContextId", testContext, "FilePath", "/none"}, 200, "NotFound", "file /none not found", nil},
		"URL, no path":                 {"GetContextFileUploadUrl", []string{"ContextId", testContext}, 400, "InvalidParameter", "FilePath is missing", nil},
		"delete a file":                {"DeleteContextFile", []string{"ContextId", testContext, "FilePath", "/tmp/a b"}, 200, "ok", "", "/tmp/a b"},
		"transfer":                     {"GetAndLoadInternalContext", []string{"SessionId", testID, "ContextTypes.1", "file_transfer"}, 200, "ok", `[{"ContextId":"SdkCtx-hidden","ContextPath":"/tmp/file-transfer","ContextType":"file_transfer"}]`, agentbay.SessionID(testID)},
		"transfer of another kind":     {"GetAndLoadInternalContext", []string{"SessionId", testID, "ContextTypes.1", "moon"}, 200, "ok", `"Data":[]`, nil},
		"transfer, unknown session":    {"GetAndLoadInternalContext", []string{"SessionId", "s-1", "ContextTypes.1", "file_transfer"}, 400, "InvalidMcpSession.NotFound", "not found", nil},
		"history":                      {"ListContextSnapshots", []string{"ContextId", testContext}, 200, "ok", `"SnapshotId":"snap-1","CreateTime":"2026-11-22T08:00:00Z","Reason":"session"`, agentbay.ContextID(testContext)},
		"restore":                      {"RestoreContext", []string{"ContextId", testContext, "SnapshotId", "snap-1"}, 200, "ok", "", "snap-1"},
		"create session":               {"CreateMcpSession", []string{"PersistenceDataList", oneMount}, 200, "ok", `"SessionId":"` + testID, nil},
		"create session, bad list":     {"CreateMcpSession", []string{"PersistenceDataList", `[{"ContextId":"c"}]`}, 200, "InvalidParameter", `"ErrMsg":"mount 1, at \"\": Path is missing"`, nil},
		"create session, no such":      {"CreateMcpSession", []string{"ImageId", "no context"}, 200, "ContextNotFound", `"ErrMsg":"context c not found"`, nil},
		"create session, path is busy": {"CreateMcpSession", []string{"ImageId", "busy path"}, 200, "PathAlreadyBound", `"ErrMsg":"PathAlreadyBound: `, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bay := newMemBay()
			bay.mounts = []agentbay.ContextMount{
				{Context: "c1", Path: "/tmp/data/", Policy: agentbay.DefaultSyncPolicy, Name: "one", BoundAt: testTime},
				{Context: "c1", Path: "/tmp/more", Policy: agentbay.DefaultSyncPolicy, Name: "one", BoundAt: testTime},
			}
			bay.tasks = []agentbay.SyncTask{{Context: "c1", Path: "/a b/", Mode: agentbay.Download, State: agentbay.SyncRunning, StartedAt: testTime}}
			srv, _ := serve(t, bay)
			res, body := act(t, srv, tc.action, tc.params...)
			e := checkEnvelope(t, tc.action, res, body)
			if res.StatusCode != tc.status || *e.Code != tc.code || !strings.Contains(string(body), tc.says) {
				t.Errorf("%d %s\nwant %d, %s, %s", res.StatusCode, body, tc.status, tc.code, tc.says)
			}
			if !reflect.DeepEqual(bay.asked, tc.asked) {
				t.Errorf("the bay was asked %#v, want %#v", bay.asked, tc.asked)
			}
		})
	}
}

// What a caller can do something about is told in a 200, and nothing else is.
func TestRefusalsAboutContexts(t *testing.T) {
	for code, want := range map[agentbay.Code]struct {
		status int
		code   string
	}{
		agentbay.Invalid:     {200, "InvalidParameter"},
		agentbay.Conflict:    {200, "OperationConflict"},
		agentbay.NotFound:    {200, "ContextNotFound"},
		agentbay.Exhausted:   {200, "QuotaExceeded"},
		agentbay.Denied:      {400, "NOT_LOGIN"},
		agentbay.Unavailable: {503, "ServiceUnavailable"},
		agentbay.Internal:    {500, "InternalError"},
	} {
		bay := newMemBay()
		bay.err = agentbay.Errorf(code, "do this")
		srv, _ := serve(t, bay)
		res, body := act(t, srv, "ClearContext", "Id", testContext)
		if e := checkEnvelope(t, "ClearContext", res, body); res.StatusCode != want.status || *e.Code != want.code || *e.Message != "do this" {
			t.Errorf("%s: %d %s, want %+v", code, res.StatusCode, body, want)
		}
	}
}

func TestAnOccupiedPathHasACodeOfItsOwn(t *testing.T) {
	for message, want := range map[string]string{
		"PathAlreadyBound: /tmp/data is another mount's": "PathAlreadyBound",
		"the session is being deleted":                   "OperationConflict",
	} {
		bay := newMemBay()
		bay.err = agentbay.Errorf(agentbay.Conflict, "%s", message)
		srv, _ := serve(t, bay)
		res, body := act(t, srv, "BindContexts", "SessionId", testID, "PersistenceDataList", oneMount)
		if e := checkEnvelope(t, "BindContexts", res, body); res.StatusCode != http.StatusOK || *e.Code != want || *e.Message != message {
			t.Errorf("%s: %d %s, want %s", message, res.StatusCode, body, want)
		}
	}
}

// Clients parse tasks twice and look for the path that they sent.
func TestTasksAreJSONInJSON(t *testing.T) {
	tasks := []agentbay.SyncTask{
		{Context: "c1", Path: "/tmp/ü \"x\"/", Mode: agentbay.Download, State: agentbay.SyncSuccess, StartedAt: testTime, FinishedAt: testTime.Add(3 * time.Second), Files: 2, Bytes: 5, TotalBytes: 5},
		{Context: "c1", Path: "/b", Mode: agentbay.Upload, State: agentbay.SyncFailed, Error: "disk full\nfree some", StartedAt: testTime},
	}
	var parts []map[string]any
	if err := json.Unmarshal([]byte(infoText(tasks)), &parts); err != nil || len(parts) != 1 || parts[0]["type"] != "data" {
		t.Fatalf("%s: %v", infoText(tasks), err)
	}
	got := parts[0]["data"].(string)
	want := `[{"contextId":"c1","path":"/tmp/ü \"x\"/","errorMessage":"","status":"Success","startTime":1795334400,"finishTime":1795334403,"taskType":"download","files":2,"bytes":5,"totalBytes":5},` +
		`{"contextId":"c1","path":"/b","errorMessage":"disk full\nfree some","status":"Failed","startTime":1795334400,"finishTime":0,"taskType":"upload","files":0,"bytes":0,"totalBytes":0}]`
	if got != want {
		t.Errorf("tasks are\n%s\nwant\n%s", got, want)
	}
	if got := infoText(nil); got != `[{"type":"data","data":"[]"}]` {
		t.Errorf("no tasks are %s", got)
	}
}
