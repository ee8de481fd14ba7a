ALTER TABLE api_keys ADD COLUMN max_storage INTEGER NOT NULL DEFAULT 0; -- bytes; 0: the server's default

CREATE TABLE secrets (
	name   TEXT PRIMARY KEY,
	secret BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Roots are in hexadecimal; '' is a context without files.

CREATE TABLE contexts (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	key_id     TEXT NOT NULL,
	name       TEXT NOT NULL,
	hidden     TEXT NOT NULL, -- '', or what it is for if it is not its owner's to see
	state      TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	used_at    INTEGER NOT NULL,
	root       TEXT NOT NULL,
	files      INTEGER NOT NULL,
	bytes      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX contexts_named ON contexts (key_id, name) WHERE hidden = '';
CREATE INDEX contexts_newest ON contexts (key_id, created_at DESC, seq DESC);

CREATE TABLE snapshots (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	context_id TEXT NOT NULL REFERENCES contexts (id) ON DELETE CASCADE,
	at         INTEGER NOT NULL,
	reason     TEXT NOT NULL,
	session_id TEXT NOT NULL, -- '' if no session saved it
	root       TEXT NOT NULL,
	files      INTEGER NOT NULL,
	bytes      INTEGER NOT NULL
) STRICT;

CREATE INDEX snapshots_newest ON snapshots (context_id, seq DESC);

-- A mount outlives its context: the session goes on seeing what it saw.
CREATE TABLE mounts (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	name       TEXT NOT NULL,    -- in the machine
	context_id TEXT NOT NULL,
	path       TEXT NOT NULL,
	policy     TEXT NOT NULL,    -- JSON object
	root       TEXT NOT NULL,    -- what is mounted
	checkout   TEXT NOT NULL,    -- where the host has it
	bound_at   INTEGER NOT NULL,
	pending    INTEGER NOT NULL, -- 1 until what the session wrote is saved for good
	UNIQUE (session_id, path),
	UNIQUE (session_id, name)
) STRICT;

CREATE INDEX mounts_context ON mounts (context_id);
CREATE INDEX mounts_pending ON mounts (seq) WHERE pending;

CREATE TABLE recycle (
	context_id TEXT NOT NULL REFERENCES contexts (id) ON DELETE CASCADE,
	path       TEXT NOT NULL,
	days       INTEGER NOT NULL,
	PRIMARY KEY (context_id, path)
) STRICT, WITHOUT ROWID;
