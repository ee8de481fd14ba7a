package agentbay

import (
	"context"
	"time"
)

// A ContextID names a context: data that outlives sessions.
// It looks like "SdkCtx-04bdwfj9q2k1mzt7x5r8c3vn6h".
type ContextID string

// A ContextState says whether a context's data can be relied on.
type ContextState string

// The states, spelled as users of every SDK see them.
const (
	ContextAvailable ContextState = "available"
	ContextClearing  ContextState = "clearing" // its files are being removed
)

// A ContextInfo is what a bay knows of one context.
type ContextInfo struct {
	ID        ContextID
	Name      string // unique among the key's contexts
	State     ContextState
	CreatedAt time.Time
	UsedAt    time.Time // last mounted, written or read
	Files     int64     // files and links in it
	Bytes     int64     // what the files hold, before compression
}

// A ContextQuery selects contexts. The zero query selects all of the caller's.
type ContextQuery struct {
	Session SessionID // only those that the session mounts
	Limit   int       // at most this many; 0 means 10
	Token   string    // where the last page ended; empty means the start
}

// A ContextPage is one page of a listing, newest context first.
type ContextPage struct {
	Contexts []ContextInfo
	Total    int    // how many contexts the query selects in all
	Next     string // the next page's Token; empty at the end
}

// A ContextMount says where a session has a context's files.
//
// A context's files have absolute paths, and a session sees those below Path
// (or below Policy.Mapping): what it writes at /tmp/data/a is the context's file
// /tmp/data/a. Windows paths are written C:/Users/x; backslashes and the drive's
// case do not matter.
type ContextMount struct {
	Context ContextID
	Path    string // absolute, in the session
	Policy  SyncPolicy

	Name    string    // of the context; set by the bay
	BoundAt time.Time // set by the bay
}

// A SyncPolicy says what is moved between a session and a context, and when.
// The zero policy is not the default: see [DefaultSyncPolicy].
type SyncPolicy struct {
	ManualUpload   bool // do not save what the session wrote when it is released
	ManualDownload bool // do not show the context's files until a download is asked for
	Archive        bool // save the tree as one compressed file instead of file by file
	KeepDeleted    bool // what the session deletes stays in the context
	Extract        ExtractPolicy
	Recycle        RecyclePolicy
	WhiteList      []WhiteList // only these parts are moved, both ways; empty means everything
	Mapping        string      // the files' path in the context, if it is not the mount's
}

// DefaultSyncPolicy saves everything, file by file, at the latest when the
// session is released, and shows everything.
var DefaultSyncPolicy = SyncPolicy{Extract: ExtractPolicy{Extract: true, DeleteSource: true}}

// An ExtractPolicy says what becomes of archives (zip, tar, tar.gz) that were
// put into the context from outside a session. Those that a session wrote are
// files like any other.
type ExtractPolicy struct {
	Extract       bool // show their content in the session
	DeleteSource  bool // and do not show the archive itself
	CurrentFolder bool // content goes beside the archive, not into a folder named after it
}

// A RecyclePolicy removes files from the context some time after they were
// saved.
type RecyclePolicy struct {
	Days  int      // 1, 3, 5, 10, 15, 30, 90, 180 or 360; 0 means never
	Paths []string // relative to the mount; "" is everything; no wildcards
}

// A WhiteList is one part of a mount that is moved.
type WhiteList struct {
	Path    string   // relative to the mount; "" is all of it; no wildcards
	Exclude []string // relative to Path
}

// A SyncMode is the direction of a sync.
type SyncMode string

// The directions.
const (
	Upload   SyncMode = "upload"   // save what the session changed
	Download SyncMode = "download" // show what others saved meanwhile
)

// A SyncRequest asks for files to be moved now, whatever the mounts' policies
// say about when.
type SyncRequest struct {
	Session SessionID
	Mode    SyncMode  // empty means Upload
	Context ContextID // empty means every mount
	Path    string    // a mount's path; or any file or directory, to move only that
}

// A SyncState says how far a task is.
type SyncState string

// The states, spelled as users of every SDK see them.
const (
	SyncWaiting SyncState = "Waiting" // for another session's upload of the context
	SyncRunning SyncState = "Running"
	SyncSuccess SyncState = "Success"
	SyncFailed  SyncState = "Failed"
)

// Ended reports whether a task in state s is over.
func (s SyncState) Ended() bool { return s == SyncSuccess || s == SyncFailed }

// A SyncTask is the last movement in one direction between a session and one
// path of a context.
type SyncTask struct {
	Context    ContextID
	Path       string // as it was asked for
	Mode       SyncMode
	State      SyncState
	Error      string // why it failed, and what to do
	StartedAt  time.Time
	FinishedAt time.Time // zero until it has ended
	Files      int64     // moved so far
	Bytes      int64     // moved so far
	TotalBytes int64     // to move in all, as far as is known
}

// A SyncQuery selects tasks of one session. Empty fields select all.
type SyncQuery struct {
	Session SessionID
	Context ContextID
	Path    string
	Mode    SyncMode
}

// A ContextFile is one entry of a directory in a context.
type ContextFile struct {
	ID         string // names this path of this context
	Name       string
	Path       string // absolute
	Dir        bool
	Link       string // what a symbolic link points to, else empty
	Size       int64  // bytes; 0 for directories
	SavedAt    time.Time
	ModifiedAt time.Time // as the file system had it
}

// A ContextFilePage is one page of a directory, by name.
type ContextFilePage struct {
	Files []ContextFile
	Total int
}

// A FileURL lets who holds it write or read one file of a context with plain
// HTTP (PUT or GET), without a key.
type FileURL struct {
	URL     string
	Expires time.Time
}

// A Snapshot is a state that a context had. Each change makes one.
type Snapshot struct {
	ID      string
	At      time.Time
	Reason  string    // what made it, such as "session", "put", "delete", "clear", "recycle" or "restore"
	Session SessionID // which session saved it, if one did
	Files   int64
	Bytes   int64
	Current bool
}

// ContextService is everything a caller can ask of a bay about contexts. What
// another key made is NotFound, whatever its name.
type ContextService interface {
	// CreateContext makes an empty context.
	//
	// Conflict: the key has a context of that name.
	// Invalid: the name is empty, longer than 255 bytes or has control characters.
	CreateContext(ctx context.Context, name string) (*ContextInfo, error)

	// Context returns a context by ID.
	Context(ctx context.Context, id ContextID) (*ContextInfo, error)

	// ContextNamed returns a context by name, and makes it if there is none and
	// create is set.
	ContextNamed(ctx context.Context, name string, create bool) (*ContextInfo, error)

	// Contexts lists contexts, newest first.
	Contexts(ctx context.Context, q ContextQuery) (*ContextPage, error)

	// RenameContext gives a context another name.
	//
	// Conflict: the key has another context of that name.
	RenameContext(ctx context.Context, id ContextID, name string) error

	// DeleteContext removes a context, its files and its history. Sessions that
	// mount it keep what they see, and save nothing any more.
	DeleteContext(ctx context.Context, id ContextID) error

	// ClearContext starts to remove all files of a context, which is Clearing
	// until that is done. Its history keeps them, as it keeps what is deleted.
	ClearContext(ctx context.Context, id ContextID) error

	// MountContexts shows contexts in a running session. It returns when the
	// directories are there; Syncs tells when the files are.
	//
	// Conflict: a path is occupied by another mount; the message begins with
	// "PathAlreadyBound".
	// Invalid: a path is not absolute, or a policy makes no sense; the message
	// names the entry.
	MountContexts(ctx context.Context, id SessionID, mounts ...ContextMount) error

	// ContextMounts lists the mounts of a session, in the order of mounting.
	ContextMounts(ctx context.Context, id SessionID) ([]ContextMount, error)

	// Sync starts to move files and returns at once; Syncs tells when it is done.
	Sync(ctx context.Context, req SyncRequest) error

	// Syncs tells of the last task of each (context, path, mode).
	Syncs(ctx context.Context, q SyncQuery) ([]SyncTask, error)

	// TransferContext returns the hidden context through which files are moved
	// between the caller and any path of a session, and the directory that
	// stands for it in the session.
	TransferContext(ctx context.Context, id SessionID) (ContextMount, error)

	// ContextFiles lists a directory of a context: the entries from number skip
	// on, at most limit (0 means 50). An unknown directory is empty.
	ContextFiles(ctx context.Context, id ContextID, dir string, skip, limit int) (*ContextFilePage, error)

	// UploadURL returns where one file of a context can be put for an hour.
	UploadURL(ctx context.Context, id ContextID, path string) (FileURL, error)

	// DownloadURL returns where one file of a context can be got for an hour.
	//
	// NotFound: there is no such file.
	DownloadURL(ctx context.Context, id ContextID, path string) (FileURL, error)

	// DeleteContextFile removes a file, or a directory with all that is in it.
	//
	// NotFound: there is no such file.
	DeleteContextFile(ctx context.Context, id ContextID, path string) error

	// Snapshots lists the states of a context that are kept, newest first.
	Snapshots(ctx context.Context, id ContextID) ([]Snapshot, error)

	// RestoreContext makes the files what they were in a snapshot. The state
	// before it is a snapshot as well.
	RestoreContext(ctx context.Context, id ContextID, snapshot string) error
}
