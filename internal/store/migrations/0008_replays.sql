-- A recording is of the screen, or of what pages show.
ALTER TABLE recordings ADD COLUMN kind TEXT NOT NULL DEFAULT 'screen';
