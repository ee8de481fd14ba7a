package agentbay

import (
	"context"
	"io"
	"time"

	"github.com/agentbay/agentbay/tool"
)

// A SessionID names a session for its whole life and is never reused.
// It looks like "session-04bdwfj9q2k1mzt7x5r8c3vn6h" and cannot be guessed.
type SessionID string

// A State is a session's place in its lifecycle:
//
//	Starting ──► Running ──► Deleting ──► Finished
//	    │           │                        ▲
//	    └───────────┴────────────────────────┘  (boot failed; guest or sandbox died)
//
// Pausing, Paused and Resuming are words of the wire that no session of this
// release enters.
type State string

// The states, spelled as users of every SDK see them.
const (
	Starting State = "STARTING"
	Running  State = "RUNNING"
	Pausing  State = "PAUSING"
	Paused   State = "PAUSED"
	Resuming State = "RESUMING"
	Deleting State = "DELETING"
	Finished State = "FINISH"
)

// Ended reports whether a session in state s is over and holds nothing.
func (s State) Ended() bool { return s == Finished }

// Alive reports whether a session in state s has a machine or will soon.
func (s State) Alive() bool { return s != Finished && s != Deleting }

// DefaultImage is what a session boots from when its spec names no image.
const DefaultImage = "linux_latest"

// DefaultIdleTimeout is how long a session may be idle when its spec does not say.
const DefaultIdleTimeout = 300 * time.Second

// A SessionSpec says what session to make.
type SessionSpec struct {
	Image       string            // empty means DefaultImage
	Labels      map[string]string // at most 100; see SetLabels
	IdleTimeout time.Duration     // released after this long without a call; 0 means DefaultIdleTimeout
	Contexts    []ContextMount    // what the session is shown of contexts from the start
	OnTakeOver  TakeOver          // what happens to the agent's input while a person has control; empty means RefuseInput
	Record      *RecordingSpec    // the screen is recorded from the start; nil means not
	Replay      *bool             // what the browser's pages show is recorded, where there is a browser; nil means as the bay does by default
	SDK         string            // what made the request, for statistics only
}

// A SessionInfo is what a bay knows of one session.
type SessionInfo struct {
	ID          SessionID
	Image       string // as asked for, such as "code_latest"
	ImageDigest string // what that name meant when the session was made
	State       State
	Isolation   string // what keeps the session in: "gvisor", "container" or "none"
	Labels      map[string]string
	IdleTimeout time.Duration
	CreatedAt   time.Time
	EndedAt     time.Time // zero until the session has ended
	EndReason   string    // why it ended: "deleted", "idle", or what went wrong
	Token       string    // secret that opens the session's link and socket
	LinkURL     string    // where tools can be called directly; empty if not offered
	SocketURL   string    // where the session's WebSocket is
	ResourceURL string    // a page for people
	NoLink      bool      // the image wants tools to be called at the endpoint
}

// A SessionQuery selects sessions. The zero query selects every session that
// has not ended.
type SessionQuery struct {
	Labels map[string]string // all must match exactly
	State  State             // empty means every state but Finished
	Limit  int               // at most this many; 0 means 10
	Token  string            // where the last page ended; empty means the start
}

// A SessionPage is one page of a listing, newest session first.
type SessionPage struct {
	Sessions []SessionInfo
	Total    int    // how many sessions the query selects in all
	Next     string // the next page's Token; empty at the end
}

// Service is everything a caller, who is one API key, can ask of a bay.
// What another key made is NotFound.
type Service interface {
	ContextService

	// CreateSession boots a session and returns once tools can be called in it.
	// On failure nothing is left behind.
	//
	// Invalid: the spec names an unknown image, or is out of bounds.
	// NotFound: there is no context of one of the spec's mounts.
	// Exhausted: the host or the key's quota is full.
	// Unavailable: the session did not boot.
	CreateSession(ctx context.Context, spec SessionSpec) (*SessionInfo, error)

	// Session returns a session, also for a while after it has ended.
	Session(ctx context.Context, id SessionID) (*SessionInfo, error)

	// Sessions lists sessions, newest first.
	Sessions(ctx context.Context, q SessionQuery) (*SessionPage, error)

	// SetLabels replaces the labels of a running session.
	//
	// Invalid: more than 100 labels, an empty key or value, a key longer than
	// 128 bytes or a value longer than 4096, or either with a NUL in it.
	SetLabels(ctx context.Context, id SessionID, labels map[string]string) error

	// KeepAlive resets the session's idle timer, as every tool call does.
	KeepAlive(ctx context.Context, id SessionID) error

	// DeleteSession releases a session. It returns once the session is
	// Deleting; Session tells when it is Finished. Deleting what has ended
	// is NotFound.
	DeleteSession(ctx context.Context, id SessionID) error

	// Tools lists the tools of an image; empty means DefaultImage.
	Tools(ctx context.Context, image string) ([]tool.Tool, error)

	// CallTool runs one tool in the session. A tool that ran and reported a
	// failure is a Reply with Failed set; an error means it did not run.
	// The caller must close the Reply's Body.
	CallTool(ctx context.Context, id SessionID, call tool.Call) (*tool.Reply, error)

	// StreamTool runs a tool of which [tool.Tool.Streams] is set and yields its
	// events as they come. It returns when the tool has ended, when ctx is done
	// (which stops the tool) or when yield fails, with that error.
	StreamTool(ctx context.Context, id SessionID, call tool.Call, yield func(event []byte) error) error

	// ViewLink returns the address of a page that shows the session's screen to
	// whoever has it, with mouse and keyboard unless it is for watching only. It
	// opens until the session ends or the links are revoked.
	ViewLink(ctx context.Context, id SessionID, watchOnly bool) (url string, err error)

	// RevokeViews makes every link to the session's page useless, and closes pages
	// that are open. SessionInfo.ResourceURL has a new one.
	RevokeViews(ctx context.Context, id SessionID) error

	// Control says who is at the session's screen, and who had control of it.
	Control(ctx context.Context, id SessionID) (*Control, error)

	// RequestHelp asks the people at the session's screen for help, and returns at
	// once. Control tells when it is done.
	//
	// Invalid: the message is empty.
	RequestHelp(ctx context.Context, id SessionID, message string) (*Help, error)

	// AnswerHelp says that what was asked for is done, without control having been
	// taken. The note is for the agent. Answering what is done is not an error.
	//
	// NotFound: nothing was asked for by that ID, or it was given up.
	AnswerHelp(ctx context.Context, id SessionID, help, note string) error

	// BrowserLink opens the session's browser, unless it is open, and returns the
	// address of its DevTools, a WebSocket, which whoever has it can dial until the
	// browser ends. tool.OpenBrowser opens it with options.
	//
	// Invalid: the session's image has no browser.
	// Unavailable: it does not open.
	BrowserLink(ctx context.Context, id SessionID) (url string, err error)

	// StartRecording records the session's screen until StopRecording, the end of
	// the session or the end of the room for it. It returns when the first picture
	// is in the video.
	//
	// Invalid: the spec is out of bounds, or the session has no screen.
	// Conflict: it is being recorded already.
	StartRecording(ctx context.Context, id SessionID, spec RecordingSpec) (*Recording, error)

	// StopRecording ends the recording and returns it when its video is complete.
	//
	// Conflict: the session is not being recorded.
	StopRecording(ctx context.Context, id SessionID) (*Recording, error)

	// Recordings lists the recordings of a session, oldest first, also for a while
	// after it has ended.
	Recordings(ctx context.Context, id SessionID) ([]Recording, error)

	// DialPort connects to a TCP port of the session, as if from inside it.
	// It is how everything that is not a tool reaches a session.
	DialPort(ctx context.Context, id SessionID, port uint16) (io.ReadWriteCloser, error)

	ContextService
}
