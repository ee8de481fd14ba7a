-- Times are nanoseconds since 1970, UTC; 0 is never.

CREATE TABLE api_keys (
	id           TEXT PRIMARY KEY,
	name         TEXT NOT NULL UNIQUE,
	hash         TEXT NOT NULL UNIQUE, -- SHA-256 of the key; the key itself is not kept
	visible      TEXT NOT NULL,        -- its first characters, to tell keys apart
	max_sessions INTEGER NOT NULL,     -- 0: the server's default
	created_at   INTEGER NOT NULL,
	used_at      INTEGER NOT NULL,
	disabled     INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
	seq          INTEGER PRIMARY KEY AUTOINCREMENT,
	id           TEXT NOT NULL UNIQUE,
	key_id       TEXT NOT NULL, -- '' while no caller has it
	image        TEXT NOT NULL,
	image_digest TEXT NOT NULL,
	runtime      TEXT NOT NULL,
	isolation    TEXT NOT NULL,
	state        TEXT NOT NULL,
	labels       TEXT NOT NULL, -- JSON object; the labels table is its index
	idle_timeout INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	active_at    INTEGER NOT NULL,
	ended_at     INTEGER NOT NULL,
	end_reason   TEXT NOT NULL,
	token        TEXT NOT NULL,
	guest_token  TEXT NOT NULL,
	sdk          TEXT NOT NULL,
	held         INTEGER NOT NULL -- 1 until nothing on the host is kept for it
) STRICT;

CREATE INDEX sessions_newest ON sessions (key_id, created_at DESC, seq DESC);
CREATE INDEX sessions_open ON sessions (key_id, created_at DESC, seq DESC) WHERE state <> 'FINISH';
CREATE INDEX sessions_held ON sessions (held) WHERE held;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at > 0;

CREATE TABLE labels (
	session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	key        TEXT NOT NULL,
	value      TEXT NOT NULL,
	PRIMARY KEY (session_id, key)
) STRICT, WITHOUT ROWID;

