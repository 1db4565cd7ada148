-- Searches that name neither queue nor organization go by time alone.
CREATE INDEX records_at ON sluice.records (at_ms);

-- Whose records have been erased: what still waits in an outbox and was submitted up to then is not kept either.
CREATE TABLE sluice.record_erasures (
    prefix       text   NOT NULL,
    org          text   NOT NULL,
    user_id      text   NOT NULL,
    until_ms     bigint NOT NULL, -- jobs created up to this moment
    requested_by text   NOT NULL,
    PRIMARY KEY (prefix, org, user_id)
);
