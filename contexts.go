package agentbay

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

func contextParam(id ContextID) url.Values { return url.Values{"ContextId": {string(id)}} }

// wireContext is a context as the wire tells of it.
type wireContext struct {
	ID           string `json:"Id"`
	Name         string
	State        string
	CreateTime   string
	LastUsedTime string
	FileCount    int64
	Bytes        int64
}

func (w wireContext) info() *ContextInfo {
	return &ContextInfo{
		ID: ContextID(w.ID), Name: w.Name, State: ContextState(w.State), CreatedAt: parseTime(w.CreateTime), UsedAt: parseTime(w.LastUsedTime),
		Files: w.FileCount, Bytes: w.Bytes,
	}
}

// oneContext performs an action that answers with a context.
func (c *Client) oneContext(ctx context.Context, action string, params url.Values) (*ContextInfo, error) {
	var w wireContext
	env, err := c.rpc(ctx, action, params, &w)
	if err != nil {
		return nil, err
	}
	if w.ID == "" {
		return nil, &Error{Code: NotFound, Message: "context not found", RequestID: env.RequestID}
	}
	return w.info(), nil
}

// CreateContext implements [ContextService].
func (c *Client) CreateContext(ctx context.Context, name string) (*ContextInfo, error) {
	return c.oneContext(ctx, "CreateContext", url.Values{"Name": {name}})
}

// Context implements [ContextService].
func (c *Client) Context(ctx context.Context, id ContextID) (*ContextInfo, error) {
	return c.oneContext(ctx, "GetContext", contextParam(id))
}

// ContextNamed implements [ContextService].
func (c *Client) ContextNamed(ctx context.Context, name string, create bool) (*ContextInfo, error) {
	return c.oneContext(ctx, "GetContext", url.Values{"Name": {name}, "AllowCreate": {strconv.FormatBool(create)}})
}

// Contexts implements [ContextService].
func (c *Client) Contexts(ctx context.Context, q ContextQuery) (*ContextPage, error) {
	params := url.Values{"MaxResults": {strconv.Itoa(cmp.Or(q.Limit, 10))}}
	if q.Session != "" {
		params.Set("SessionId", string(q.Session))
	}
	if q.Token != "" {
		params.Set("NextToken", q.Token)
	}
	var rows []wireContext
	env, err := c.rpc(ctx, "ListContexts", params, &rows)
	if err != nil {
		return nil, err
	}
	page := &ContextPage{Total: env.TotalCount, Next: env.NextToken}
	for _, r := range rows {
		page.Contexts = append(page.Contexts, *r.info())
	}
	return page, nil
}

// RenameContext implements [ContextService].
func (c *Client) RenameContext(ctx context.Context, id ContextID, name string) error {
	_, err := c.rpc(ctx, "ModifyContext", url.Values{"Id": {string(id)}, "Name": {name}}, nil)
	return err
}

// DeleteContext implements [ContextService].
func (c *Client) DeleteContext(ctx context.Context, id ContextID) error {
	_, err := c.rpc(ctx, "DeleteContext", url.Values{"Id": {string(id)}}, nil)
	return err
}

// ClearContext implements [ContextService].
func (c *Client) ClearContext(ctx context.Context, id ContextID) error {
	_, err := c.rpc(ctx, "ClearContext", url.Values{"Id": {string(id)}}, nil)
	return err
}

// MountContexts implements [ContextService].
func (c *Client) MountContexts(ctx context.Context, id SessionID, mounts ...ContextMount) error {
	list, err := mountList(mounts)
	if err != nil {
		return err
	}
	params := sessionParam(id)
	params.Set("PersistenceDataList", list)
	_, err = c.rpc(ctx, "BindContexts", params, nil)
	return err
}

// ContextMounts implements [ContextService].
func (c *Client) ContextMounts(ctx context.Context, id SessionID) ([]ContextMount, error) {
	var rows []struct {
		wireMount
		ContextName string
		BindTime    string
	}
	env, err := c.rpc(ctx, "DescribeSessionContexts", sessionParam(id), &rows)
	if err != nil {
		return nil, err
	}
	mounts := make([]ContextMount, len(rows))
	for i, r := range rows {
		var policy wirePolicy
		if err := json.Unmarshal([]byte(r.Policy), &policy); err != nil {
			return nil, &Error{Code: Internal, Message: "the bay's policy of a mount is no JSON object", RequestID: env.RequestID, cause: err}
		}
		mounts[i] = ContextMount{Context: r.Context, Path: r.Path, Policy: policy.policy(), Name: r.ContextName, BoundAt: parseTime(r.BindTime)}
	}
	return mounts, nil
}

// Sync implements [ContextService].
func (c *Client) Sync(ctx context.Context, req SyncRequest) error {
	params := taskParams(req.Session, req.Context, req.Path)
	params.Set("Mode", string(cmp.Or(req.Mode, Upload)))
	_, err := c.rpc(ctx, "SyncContext", params, nil)
	return err
}

// taskParams names a session and, where they are not empty, a context and a path.
func taskParams(session SessionID, id ContextID, path string) url.Values {
	params := sessionParam(session)
	if id != "" {
		params.Set("ContextId", string(id))
	}
	if path != "" {
		params.Set("Path", path)
	}
	return params
}

// wireTask is a task as the wire tells of it.
type wireTask struct {
	Context      ContextID `json:"contextId"`
	Path         string
	ErrorMessage string
	Status       SyncState
	StartTime    int64 // Unix seconds
	FinishTime   int64 // Unix seconds; 0 until it has ended
	TaskType     SyncMode
	Files        int64
	Bytes        int64
	TotalBytes   int64
}

func (w wireTask) task() SyncTask {
	t := SyncTask{
		Context: w.Context, Path: w.Path, Mode: w.TaskType, State: w.Status, Error: w.ErrorMessage, StartedAt: time.Unix(w.StartTime, 0),
		Files: w.Files, Bytes: w.Bytes, TotalBytes: w.TotalBytes,
	}
	if w.FinishTime != 0 {
		t.FinishedAt = time.Unix(w.FinishTime, 0)
	}
	return t
}

// Syncs implements [ContextService]. The wire's times are whole seconds.
func (c *Client) Syncs(ctx context.Context, q SyncQuery) ([]SyncTask, error) {
	params := taskParams(q.Session, q.Context, q.Path)
	if q.Mode != "" {
		params.Set("TaskType", string(q.Mode))
	}
	var data struct{ ContextStatus string }
	env, err := c.rpc(ctx, "GetContextInfo", params, &data)
	if err != nil {
		return nil, err
	}
	tasks, err := parseTasks(data.ContextStatus)
	if err != nil {
		return nil, &Error{Code: Internal, Message: "the bay's list of tasks has another shape than expected", RequestID: env.RequestID, cause: err}
	}
	return tasks, nil
}

// parseTasks reads JSON that has the tasks as JSON in strings.
func parseTasks(text string) ([]SyncTask, error) {
	if text == "" {
		return nil, nil
	}
	var parts []struct{ Type, Data string }
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		return nil, err
	}
	var tasks []SyncTask
	for _, part := range parts {
		if part.Type != "data" {
			continue
		}
		var rows []wireTask
		if err := json.Unmarshal([]byte(part.Data), &rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			tasks = append(tasks, r.task())
		}
	}
	return tasks, nil
}

// TransferContext implements [ContextService].
func (c *Client) TransferContext(ctx context.Context, id SessionID) (ContextMount, error) {
	params := sessionParam(id)
	params.Set("ContextTypes.1", "file_transfer")
	var rows []struct {
		Context ContextID `json:"ContextId"`
		Path    string    `json:"ContextPath"`
	}
	env, err := c.rpc(ctx, "GetAndLoadInternalContext", params, &rows)
	if err != nil {
		return ContextMount{}, err
	}
	if len(rows) == 0 {
		return ContextMount{}, &Error{Code: Unavailable, Message: "the bay has no context for the transfer of files", RequestID: env.RequestID}
	}
	return ContextMount{Context: rows[0].Context, Path: rows[0].Path}, nil
}

// wireFile is an entry of a directory as the wire tells of it.
type wireFile struct {
	FileID      string `json:"FileId"`
	FileName    string
	FilePath    string
	FileType    string
	GmtCreate   string
	GmtModified string
	Size        int64
	Link        string
}

func (w wireFile) file() ContextFile {
	return ContextFile{
		ID: w.FileID, Name: w.FileName, Path: w.FilePath, Dir: w.FileType == "FOLDER", Link: w.Link, Size: w.Size,
		SavedAt: parseTime(w.GmtCreate), ModifiedAt: parseTime(w.GmtModified),
	}
}

// ContextFiles implements [ContextService].
func (c *Client) ContextFiles(ctx context.Context, id ContextID, dir string, skip, limit int) (*ContextFilePage, error) {
	params := contextParam(id)
	params.Set("ParentFolderPath", dir)
	params.Set("Skip", strconv.Itoa(skip))
	if limit != 0 {
		params.Set("PageSize", strconv.Itoa(limit))
	}
	var rows []wireFile
	env, err := c.rpc(ctx, "DescribeContextFiles", params, &rows)
	if err != nil {
		return nil, err
	}
	page := &ContextFilePage{Total: env.TotalCount}
	for _, r := range rows {
		page.Files = append(page.Files, r.file())
	}
	return page, nil
}

func fileParam(id ContextID, path string) url.Values {
	params := contextParam(id)
	params.Set("FilePath", path)
	return params
}

func (c *Client) fileURL(ctx context.Context, action string, id ContextID, path string) (FileURL, error) {
	var data struct {
		URL        string `json:"Url"`
		ExpireTime int64  // Unix seconds
	}
	if _, err := c.rpc(ctx, action, fileParam(id, path), &data); err != nil {
		return FileURL{}, err
	}
	return FileURL{URL: data.URL, Expires: time.Unix(data.ExpireTime, 0)}, nil
}

// UploadURL implements [ContextService].
func (c *Client) UploadURL(ctx context.Context, id ContextID, path string) (FileURL, error) {
	return c.fileURL(ctx, "GetContextFileUploadUrl", id, path)
}

// DownloadURL implements [ContextService].
func (c *Client) DownloadURL(ctx context.Context, id ContextID, path string) (FileURL, error) {
	return c.fileURL(ctx, "GetContextFileDownloadUrl", id, path)
}

// DeleteContextFile implements [ContextService].
func (c *Client) DeleteContextFile(ctx context.Context, id ContextID, path string) error {
	_, err := c.rpc(ctx, "DeleteContextFile", fileParam(id, path), nil)
	return err
}

// Snapshots implements [ContextService].
func (c *Client) Snapshots(ctx context.Context, id ContextID) ([]Snapshot, error) {
	var rows []struct {
		SnapshotID string `json:"SnapshotId"`
		CreateTime string
		Reason     string
		SessionID  SessionID `json:"SessionId"`
		FileCount  int64
		Bytes      int64
		Current    bool
	}
	if _, err := c.rpc(ctx, "ListContextSnapshots", contextParam(id), &rows); err != nil {
		return nil, err
	}
	list := make([]Snapshot, len(rows))
	for i, r := range rows {
		list[i] = Snapshot{r.SnapshotID, parseTime(r.CreateTime), r.Reason, r.SessionID, r.FileCount, r.Bytes, r.Current}
	}
	return list, nil
}

// RestoreContext implements [ContextService].
func (c *Client) RestoreContext(ctx context.Context, id ContextID, snapshot string) error {
	params := contextParam(id)
	params.Set("SnapshotId", snapshot)
	_, err := c.rpc(ctx, "RestoreContext", params, nil)
	return err
}
