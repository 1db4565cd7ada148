-- Everything of Sluice is in a schema of its own; what was applied to it is noted here.
CREATE SCHEMA IF NOT EXISTS sluice;

CREATE TABLE sluice.migrations (
	version integer PRIMARY KEY CHECK (version > 0),
	name text NOT NULL,
	sha256 text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
);
