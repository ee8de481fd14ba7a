-- What keys had the bay's model do. It outlives sessions, and goes with the key.
CREATE TABLE model_usage (
	key_id     TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	session_id TEXT NOT NULL,
	day        TEXT NOT NULL, -- in UTC, such as 2026-01-31
	requests   INTEGER NOT NULL,
	tokens_in  INTEGER NOT NULL,
	tokens_out INTEGER NOT NULL,
	PRIMARY KEY (key_id, session_id, day)
) STRICT, WITHOUT ROWID;
