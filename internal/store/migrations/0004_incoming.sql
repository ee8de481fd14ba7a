-- What clients may put into the blob store by themselves, to become files.
CREATE TABLE incoming (
	name       TEXT PRIMARY KEY, -- the blob's
	context_id TEXT NOT NULL REFERENCES contexts (id) ON DELETE CASCADE,
	path       TEXT NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX incoming_context ON incoming (context_id, expires_at);
