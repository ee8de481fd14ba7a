-- What is being moved between sessions and contexts: a server that was killed
-- leaves its rows here, and the next one goes on.
CREATE TABLE syncs (
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	context_id TEXT NOT NULL,
	path       TEXT NOT NULL, -- as it was asked for
	mode       TEXT NOT NULL,
	PRIMARY KEY (session_id, context_id, path, mode)
) STRICT, WITHOUT ROWID;
