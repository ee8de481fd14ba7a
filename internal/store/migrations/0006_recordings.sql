-- Recordings of the screens of sessions; the videos are captures.
CREATE TABLE recordings (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	name       TEXT NOT NULL UNIQUE, -- of the capture
	frame_rate INTEGER NOT NULL,     -- frames a second
	max_bytes  INTEGER NOT NULL,
	started_at INTEGER NOT NULL,
	ended_at   INTEGER NOT NULL,     -- 0 until it has ended; what a killed server leaves at 0 goes on in another
	reason     TEXT NOT NULL         -- why it ended
) STRICT;

CREATE INDEX recordings_session ON recordings (session_id, seq);
