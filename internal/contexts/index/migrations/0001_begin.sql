CREATE TABLE tenants (
	id         INTEGER PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	generation INTEGER NOT NULL -- how many collections have begun
) STRICT;

CREATE TABLE packs (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	tenant INTEGER NOT NULL REFERENCES tenants (id),
	name   TEXT NOT NULL, -- of the blob
	size   INTEGER NOT NULL,
	used   INTEGER NOT NULL, -- bytes of it that are chunks below
	UNIQUE (tenant, name)
) STRICT;

CREATE TABLE chunks (
	tenant INTEGER NOT NULL,
	id     BLOB NOT NULL,
	pack   INTEGER NOT NULL,
	offset INTEGER NOT NULL,
	stored INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	marked INTEGER NOT NULL, -- the last generation that needed it
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX chunks_pack ON chunks (pack, stored);
