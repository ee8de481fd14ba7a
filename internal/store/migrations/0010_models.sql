-- Models that keys have of their own, in place of the bay's.
CREATE TABLE key_models (
	key_id TEXT PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
	url    TEXT NOT NULL,
	name   TEXT NOT NULL,
	secret TEXT NOT NULL
) STRICT, WITHOUT ROWID;
