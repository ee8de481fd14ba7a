package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
)

// The bounds of a list of mounts. What is inside is the core's to judge.
const (
	maxMounts    = 64
	maxMountList = 1 << 20 // bytes of its text
	maxName      = 4096    // bytes of an ID or a path
)

// A mountItem is a mount as clients ask for it.
type mountItem struct {
	Context agentbay.ContextID `json:"ContextId"`
	Path    string             `json:"Path"`
	Policy  string             `json:"Policy"` // JSON in a string; empty means the default
}

// parseMounts reads a PersistenceDataList.
func parseMounts(text string) ([]agentbay.ContextMount, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxMountList {
		return nil, agentbay.Errorf(agentbay.Invalid, "parameter PersistenceDataList is longer than %d bytes; mount fewer contexts, or with shorter policies", maxMountList)
	}
	var items []mountItem
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Invalid, "parameter PersistenceDataList is not the JSON it should be: %s", jsonProblem(err))
	}
	if len(items) > maxMounts {
		return nil, agentbay.Errorf(agentbay.Invalid, "%d contexts are too many to mount at once; %d are possible", len(items), maxMounts)
	}
	mounts := make([]agentbay.ContextMount, 0, len(items))
	for i, item := range items {
		m, err := item.mount()
		if err != nil {
			return nil, agentbay.Wrap(err, agentbay.Invalid, "mount %d, at %q: %s", i+1, clip(item.Path), agentbay.MessageOf(err))
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func (i mountItem) mount() (m agentbay.ContextMount, err error) {
	switch {
	case i.Context == "":
		return m, agentbay.Errorf(agentbay.Invalid, "ContextId is missing")
	case i.Path == "":
		return m, agentbay.Errorf(agentbay.Invalid, "Path is missing")
	case len(i.Context) > maxName || len(i.Path) > maxName:
		return m, agentbay.Errorf(agentbay.Invalid, "ContextId and Path can each have %d bytes", maxName)
	}
	policy, err := parsePolicy(i.Policy)
	return agentbay.ContextMount{Context: i.Context, Path: i.Path, Policy: policy}, err
}

type bindParams struct {
	ID   agentbay.SessionID `param:"SessionId,required"`
	List string             `param:"PersistenceDataList,required"`
}

func bindContexts(ctx context.Context, c *call, p bindParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	mounts, err := parseMounts(p.List)
	if err != nil || len(mounts) == 0 {
		return answer{}, err
	}
	return told(nil, bound(c.bay.MountContexts(ctx, p.ID, mounts...)))
}

// pathBound begins the message, and is the wire's code, of a path that another
// mount occupies.
const pathBound = "PathAlreadyBound"

// bound gives that refusal its code.
func bound(err error) error {
	if agentbay.CodeOf(err) == agentbay.Conflict && strings.HasPrefix(agentbay.MessageOf(err), pathBound) {
		return coded(pathBound, err)
	}
	return err
}

// A bindingData is a mount as clients are told of it.
type bindingData struct {
	BindTime string             `json:"BindTime"`
	Context  agentbay.ContextID `json:"ContextId"`
	Name     string             `json:"ContextName"`
	Path     string             `json:"Path"`
	Policy   string             `json:"Policy"`
}

func describeSessionContexts(ctx context.Context, c *call, p sessionParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	mounts, err := c.bay.ContextMounts(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	list := make([]bindingData, 0, len(mounts))
	for _, m := range mounts {
		list = append(list, bindingData{timeText(m.BoundAt), m.Context, m.Name, m.Path, policyText(m.Policy)})
	}
	return answer{data: list}, nil
}

// mountsOf names the contexts that a session mounts, each once. What cannot be
// listed is left out: the session is there all the same.
func (c *call) mountsOf(ctx context.Context, s *agentbay.SessionInfo) []mountData {
	list := []mountData{}
	if !s.State.Alive() {
		return list
	}
	mounts, err := c.bay.ContextMounts(ctx, s.ID)
	if err != nil {
		c.door.Log.WarnContext(ctx, "no list of mounts", "session", s.ID, "error", err)
	}
	for _, m := range mounts {
		d := mountData{string(m.Context), m.Name}
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

type syncParams struct {
	ID      agentbay.SessionID `param:"SessionId,required"`
	Context agentbay.ContextID `param:"ContextId"`
	Path    string             `param:"Path"`
	Mode    string             `param:"Mode"`
}

func syncContext(ctx context.Context, c *call, p syncParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	mode, err := modeNamed(p.Mode)
	if err != nil {
		return answer{}, err
	}
	if mode == "" {
		mode = agentbay.Upload
	}
	return told(nil, c.bay.Sync(ctx, agentbay.SyncRequest{Session: p.ID, Mode: mode, Context: p.Context, Path: p.Path}))
}

// modeNamed is the direction that a client's word means; empty is none.
func modeNamed(word string) (agentbay.SyncMode, error) {
	switch mode := agentbay.SyncMode(strings.ToLower(word)); mode {
	case "", agentbay.Upload, agentbay.Download:
		return mode, nil
	}
	return "", agentbay.Errorf(agentbay.Invalid, "files cannot be synced in the direction %q; there is upload and download", clip(word))
}

type infoParams struct {
	ID      agentbay.SessionID `param:"SessionId,required"`
	Context agentbay.ContextID `param:"ContextId"`
	Path    string             `param:"Path"`
	Type    string             `param:"TaskType"`
}

// An infoData has the tasks of a session: JSON in a string, in JSON in a string.
type infoData struct {
	Status string `json:"ContextStatus"`
}

// An infoWrapper is around the tasks.
type infoWrapper struct {
	Type string `json:"type"`
	Data string `json:"data"`
}

// An infoItem is one task. No client may find a null in it.
type infoItem struct {
	Context    agentbay.ContextID `json:"contextId"`
	Path       string             `json:"path"` // unchanged: clients look for their own
	Error      string             `json:"errorMessage"`
	Status     agentbay.SyncState `json:"status"`
	StartTime  int64              `json:"startTime"`
	FinishTime int64              `json:"finishTime"`
	Mode       agentbay.SyncMode  `json:"taskType"`

	// What only our own clients know to look at.
	Files      int64 `json:"files"`
	Bytes      int64 `json:"bytes"`
	TotalBytes int64 `json:"totalBytes"`
}

func getContextInfo(ctx context.Context, c *call, p infoParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	mode, err := modeNamed(p.Type)
	if err != nil {
		return answer{}, err
	}
	tasks, err := c.bay.Syncs(ctx, agentbay.SyncQuery{Session: p.ID, Context: p.Context, Path: p.Path, Mode: mode})
	if err != nil {
		return answer{}, err
	}
	return answer{data: infoData{infoText(tasks)}}, nil
}

func infoText(tasks []agentbay.SyncTask) string {
	items := make([]infoItem, 0, len(tasks))
	for _, t := range tasks {
		item := infoItem{
			Context: t.Context, Path: t.Path, Error: t.Error, Status: t.State, StartTime: t.StartedAt.Unix(), Mode: t.Mode,
			Files: t.Files, Bytes: t.Bytes, TotalBytes: t.TotalBytes,
		}
		if !t.FinishedAt.IsZero() {
			item.FinishTime = t.FinishedAt.Unix()
		}
		items = append(items, item)
	}
	return string(encode([]infoWrapper{{"data", string(encode(items))}}))
}

type transferParams struct {
	ID   agentbay.SessionID `param:"SessionId,required"`
	Type string             `param:"ContextTypes.1"`
}

// A transferData is a hidden context of a session.
type transferData struct {
	Context agentbay.ContextID `json:"ContextId"`
	Path    string             `json:"ContextPath"`
	Type    string             `json:"ContextType"`
}

// fileTransfer is the one kind of hidden context there is.
const fileTransfer = "file_transfer"

func loadInternalContext(ctx context.Context, c *call, p transferParams) (answer, error) {
	if _, err := present(ctx, c.bay, p.ID); err != nil {
		return answer{}, err
	}
	if p.Type != "" && p.Type != fileTransfer {
		return answer{data: []transferData{}}, nil
	}
	m, err := c.bay.TransferContext(ctx, p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{data: []transferData{{m.Context, m.Path, fileTransfer}}}, nil
}
