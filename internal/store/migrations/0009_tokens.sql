-- How many tokens of the model a key may use in a day; 0 is the server's default.
ALTER TABLE api_keys ADD COLUMN max_tokens INTEGER NOT NULL DEFAULT 0;
