-- Jobs whose records were erased before they had ended. Another program's worker may end them and leave nothing of whose they were: what is told of
-- these jobs later is not kept.
CREATE TABLE sluice.record_erased_jobs (
    prefix     text   NOT NULL,
    queue      text   NOT NULL,
    job_id     text   NOT NULL,
    created_ms bigint NOT NULL,
    until_ms   bigint NOT NULL, -- the erasure's
    PRIMARY KEY (prefix, queue, job_id, created_ms)
);
