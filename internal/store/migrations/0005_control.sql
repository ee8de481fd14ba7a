-- Links to a session's page are of the round in which they were made; a new round revokes them.
ALTER TABLE sessions ADD COLUMN view_round INTEGER NOT NULL DEFAULT 0;

-- 1: while a person has control, the agent's input waits instead of being refused.
ALTER TABLE sessions ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;

-- Who took control of a session's screen, and how it ended. Rows are only added.
CREATE TABLE control_events (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	at         INTEGER NOT NULL,
	kind       TEXT NOT NULL, -- taken, handed back or gone
	address    TEXT NOT NULL,
	note       TEXT NOT NULL,
	held       INTEGER NOT NULL -- nanoseconds
) STRICT;

CREATE INDEX control_events_session ON control_events (session_id, seq);
