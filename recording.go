package agentbay

import "time"

// A RecordingSpec says how a session's screen is recorded.
type RecordingSpec struct {
	FrameRate int   // frames a second, at most 30; 0 means 10
	MaxBytes  int64 // the recording ends before its video is longer; at least 1 MiB; 0 means 512 MiB
}

// A RecordingKind is what of a session is recorded.
type RecordingKind string

const (
	// RecordedScreen is a video of the session's screen, an MP4 without sound.
	RecordedScreen RecordingKind = "screen"
	// RecordedPages is a replay of what the pages of the session's browser showed,
	// wrote to the console and loaded. Passwords are not in it.
	RecordedPages RecordingKind = "pages"
)

// A Recording is a video or a replay of a session. While it goes on, what there is
// of it can be watched.
//
// It is kept for a day after the session has ended, unless the bay is set up
// otherwise. When the server is restarted, and when the screen itself had to be,
// a video goes on as another one, and a replay as itself.
type Recording struct {
	Name      string
	Kind      RecordingKind
	URL       string // the video, or a page that plays the replay, for whoever has it; good for as long as it is kept
	DataURL   string // the file itself: the video, or a replay's lines of JSON
	StartedAt time.Time
	EndedAt   time.Time // zero while it goes on
	Reason    string    // why it ended: "stopped", "full", "the session ended", or what went wrong
	Bytes     int64     // how long the file is
}
