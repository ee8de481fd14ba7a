package rpc

import (
	"context"
	"regexp"
	"strings"

	"github.com/agentbay/agentbay"
)

// notFoundContext is the code of a context that is not there.
const notFoundContext = "ContextNotFound"

// told answers an action about contexts. What the caller can do something about
// is told in a 200, where SDKs look for it and show it as it is.
func told(data any, err error) (answer, error) {
	switch agentbay.CodeOf(err) {
	case "":
		return answer{data: data}, nil
	case agentbay.NotFound:
		return answer{refused: coded(notFoundContext, err)}, nil
	case agentbay.Invalid, agentbay.Conflict, agentbay.Exhausted:
		return answer{refused: err}, nil
	}
	return answer{}, err
}

// A contextData is a context as clients are told of it.
type contextData struct {
	ID       agentbay.ContextID    `json:"Id"`
	Name     string                `json:"Name"`
	State    agentbay.ContextState `json:"State"`
	OSType   string                `json:"OsType"` // empty: files are the same to all
	Created  string                `json:"CreateTime"`
	LastUsed string                `json:"LastUsedTime"`

	// What only our own clients know to look at.
	Files int64 `json:"FileCount"`
	Bytes int64 `json:"Bytes"`
}

func describeContext(x agentbay.ContextInfo) contextData {
	return contextData{
		ID: x.ID, Name: x.Name, State: x.State, Created: timeText(x.CreatedAt), LastUsed: timeText(x.UsedAt),
		Files: x.Files, Bytes: x.Bytes,
	}
}

// one answers with a context.
func one(x *agentbay.ContextInfo, err error) (answer, error) {
	if err != nil {
		return told(nil, err)
	}
	return told(describeContext(*x), nil)
}

type getContextParams struct {
	ID     agentbay.ContextID `param:"ContextId"`
	Name   string             `param:"Name"`
	Create bool               `param:"AllowCreate"`
}

func getContext(ctx context.Context, c *call, p getContextParams) (answer, error) {
	switch {
	case p.ID != "":
		return one(c.bay.Context(ctx, p.ID))
	case p.Name != "":
		return one(c.bay.ContextNamed(ctx, p.Name, p.Create))
	}
	return told(nil, agentbay.Errorf(agentbay.Invalid, "no context was asked for; give its Name or its ContextId"))
}

type createContextParams struct {
	Name string `param:"Name,required"`
}

// createContext is an action of our own: GetContext does not tell a context
// that it makes from one that was there.
func createContext(ctx context.Context, c *call, p createContextParams) (answer, error) {
	return one(c.bay.CreateContext(ctx, p.Name))
}

type listContextsParams struct {
	Max     int                `param:"MaxResults"`
	Token   string             `param:"NextToken"`
	Session agentbay.SessionID `param:"SessionId"`
}

func listContexts(ctx context.Context, c *call, p listContextsParams) (answer, error) {
	most, err := pageSize(p.Max)
	if err != nil {
		return answer{}, err
	}
	found, err := c.bay.Contexts(ctx, agentbay.ContextQuery{Session: p.Session, Limit: most, Token: p.Token})
	if err != nil {
		return answer{}, err
	}
	list := make([]contextData, 0, len(found.Contexts))
	for _, x := range found.Contexts {
		list = append(list, describeContext(x))
	}
	return answer{data: list, page: &page{TotalCount: found.Total, MaxResults: most, NextToken: found.Next}}, nil
}

type modifyContextParams struct {
	ID   agentbay.ContextID `param:"Id,required"`
	Name string             `param:"Name,required"`
}

func modifyContext(ctx context.Context, c *call, p modifyContextParams) (answer, error) {
	return told(nil, c.bay.RenameContext(ctx, p.ID, p.Name))
}

type contextParams struct {
	ID agentbay.ContextID `param:"Id,required"`
}

func deleteContext(ctx context.Context, c *call, p contextParams) (answer, error) {
	return told(nil, c.bay.DeleteContext(ctx, p.ID))
}

func clearContext(ctx context.Context, c *call, p contextParams) (answer, error) {
	return told(nil, c.bay.ClearContext(ctx, p.ID))
}

type listFilesParams struct {
	ID   agentbay.ContextID `param:"ContextId,required"`
	Dir  string             `param:"ParentFolderPath"`
	Page int                `param:"PageNumber"` // from 1
	Size int                `param:"PageSize"`
	Skip int                `param:"Skip"` // what our own clients say instead of PageNumber
}

// window is which entries are asked for.
func (p listFilesParams) window() (skip, size int, err error) {
	size = p.Size
	if size == 0 {
		size = defaultFiles
	}
	if p.Page < 0 || size < 0 || p.Page > mostFiles || size > mostFiles {
		return 0, 0, agentbay.Errorf(agentbay.Invalid, "there is no page %d of %d files", p.Page, size)
	}
	return p.Skip + max(p.Page-1, 0)*size, size, nil
}

// A fileData is an entry of a directory as clients are told of it.
type fileData struct {
	ID       string `json:"FileId"`
	Name     string `json:"FileName"`
	Path     string `json:"FilePath"`
	Type     string `json:"FileType"`
	Created  string `json:"GmtCreate"`
	Modified string `json:"GmtModified"`
	Size     int64  `json:"Size"`
	Status   string `json:"Status"`

	// What only our own clients know to look at.
	Link string `json:"Link,omitempty"`
}

// The types of entries. Clients know the first by heart.
const (
	typeFolder = "FOLDER"
	typeFile   = "FILE"
)

func describeFile(f agentbay.ContextFile) fileData {
	kind := typeFile
	if f.Dir {
		kind = typeFolder
	}
	return fileData{
		ID: f.ID, Name: f.Name, Path: f.Path, Type: kind, Created: timeText(f.SavedAt), Modified: timeText(f.ModifiedAt),
		Size: f.Size, Status: "available", Link: f.Link,
	}
}

const (
	defaultFiles = 50      // entries of a page
	mostFiles    = 1 << 30 // in a number that a client sends
)

func describeContextFiles(ctx context.Context, c *call, p listFilesParams) (answer, error) {
	skip, size, err := p.window()
	if err != nil {
		return answer{}, err
	}
	found, err := c.bay.ContextFiles(ctx, p.ID, absolute(p.Dir), skip, size)
	if err != nil {
		return told(nil, err)
	}
	list := make([]fileData, 0, len(found.Files))
	for _, f := range found.Files {
		list = append(list, describeFile(f))
	}
	return answer{data: list, page: &page{TotalCount: found.Total, MaxResults: size, Count: &found.Total}}, nil
}

var windowsPath = regexp.MustCompile(`^[A-Za-z]:`)

// absolute is a path with the slash in front that some clients leave out.
func absolute(path string) string {
	if strings.HasPrefix(path, "/") || windowsPath.MatchString(path) {
		return path
	}
	return "/" + path
}

type fileParams struct {
	ID   agentbay.ContextID `param:"ContextId,required"`
	Path string             `param:"FilePath,required"`
}

// A fileURLData is where a file can be put or got, and how long.
type fileURLData struct {
	URL     string `json:"Url"`
	Expires int64  `json:"ExpireTime"` // Unix seconds
}

// fileURL answers with a URL as the client reaches this door, unless it leads
// elsewhere.
func (c *call) fileURL(u agentbay.FileURL, err error) (answer, error) {
	return toldFile(fileURLData{c.origin.complete(u.URL), u.Expires.Unix()}, err)
}

// toldFile is told where it may also be the file that is not there.
func toldFile(data any, err error) (answer, error) {
	if agentbay.CodeOf(err) == agentbay.NotFound {
		return answer{refused: coded("NotFound", err)}, nil
	}
	return told(data, err)
}

func uploadURL(ctx context.Context, c *call, p fileParams) (answer, error) {
	return c.fileURL(c.bay.UploadURL(ctx, p.ID, absolute(p.Path)))
}

func downloadURL(ctx context.Context, c *call, p fileParams) (answer, error) {
	return c.fileURL(c.bay.DownloadURL(ctx, p.ID, absolute(p.Path)))
}

func deleteContextFile(ctx context.Context, c *call, p fileParams) (answer, error) {
	return toldFile(nil, c.bay.DeleteContextFile(ctx, p.ID, absolute(p.Path)))
}

type historyParams struct {
	ID agentbay.ContextID `param:"ContextId,required"`
}

// A snapshotData is a state that a context had.
type snapshotData struct {
	ID      string             `json:"SnapshotId"`
	At      string             `json:"CreateTime"`
	Reason  string             `json:"Reason"`
	Session agentbay.SessionID `json:"SessionId"`
	Files   int64              `json:"FileCount"`
	Bytes   int64              `json:"Bytes"`
	Current bool               `json:"Current"`
}

// listSnapshots and restoreContext are actions of our own.
func listSnapshots(ctx context.Context, c *call, p historyParams) (answer, error) {
	found, err := c.bay.Snapshots(ctx, p.ID)
	if err != nil {
		return told(nil, err)
	}
	list := make([]snapshotData, 0, len(found))
	for _, s := range found {
		list = append(list, snapshotData{s.ID, timeText(s.At), s.Reason, s.Session, s.Files, s.Bytes, s.Current})
	}
	return answer{data: list}, nil
}

type restoreParams struct {
	ID       agentbay.ContextID `param:"ContextId,required"`
	Snapshot string             `param:"SnapshotId,required"`
}

func restoreContext(ctx context.Context, c *call, p restoreParams) (answer, error) {
	return told(nil, c.bay.RestoreContext(ctx, p.ID, p.Snapshot))
}
