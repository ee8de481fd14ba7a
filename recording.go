package agentbay

import "time"

// A RecordingSpec says how a session's screen is recorded.
type RecordingSpec struct {
	FrameRate int   // frames a second, at most 30; 0 means 10
	MaxBytes  int64 // the recording ends before its video is longer; at least 1 MiB; 0 means 512 MiB
}

// A Recording is a video of a session's screen, an MP4 without sound. While it
// goes on, what there is of it can be watched.
//
// It is kept for a day after the session has ended, unless the bay is set up
// otherwise. When the server is restarted, and when the screen itself had to be,
// a recording goes on as another one.
type Recording struct {
	Name      string
	URL       string // where the video is, for whoever has it; good for as long as it is kept
	StartedAt time.Time
	EndedAt   time.Time // zero while it goes on
	Reason    string    // why it ended: "stopped", "full", "the session ended", or what went wrong
	Bytes     int64     // how long the video is
}
