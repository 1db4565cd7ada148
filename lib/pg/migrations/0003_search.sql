-- Searches that name neither queue nor organization go by time alone.
CREATE INDEX records_at ON sluice.records (at_ms);

-- Failures are few among a queue's or an organization's jobs, and what is searched for most; jobs that complete cost these nothing.
CREATE INDEX records_failed_queue ON sluice.records (queue, at_ms) WHERE state = 'failed';
CREATE INDEX records_failed_org ON sluice.records (org, at_ms) WHERE state = 'failed';

-- Whose records have been erased: what still waits in an outbox and was submitted up to then is not kept either.
CREATE TABLE sluice.record_erasures (
    prefix       text   NOT NULL,
    org          text   NOT NULL,
    user_id      text   NOT NULL,
    until_ms     bigint NOT NULL, -- jobs created up to this moment
    requested_by text   NOT NULL,
    PRIMARY KEY (prefix, org, user_id)
);
