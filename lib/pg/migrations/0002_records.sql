-- The record of every job, kept when Redis has long forgotten it. One row for each job: queue, id and the moment of its creation, since an
-- id may come again. Times are milliseconds since the epoch, as in BullMQ.
--
-- Partitions are weeks of creation, made ahead by sluice.records_partition and dropped by sluice.records_expire; what is far from now
-- (a client may give a job any timestamp) stands in records_default until its week is made.
CREATE TABLE sluice.records (
    prefix        text    NOT NULL, -- BULLMQ_PREFIX: deployments may share a database
    queue         text    NOT NULL,
    job_id        text    NOT NULL,
    created_ms    bigint  NOT NULL, -- the job's timestamp
    at_ms         bigint  NOT NULL, -- the end, else the last thing that is known of the job: what searches go by, and what retention counts from
    state         text    NOT NULL CHECK (state IN ('pending', 'completed', 'failed', 'removed')),
    name          text,
    org           text    NOT NULL, -- '' where nobody knows it any more
    sub           text,             -- who submitted it
    processed_ms  bigint,
    finished_ms   bigint,
    delay_ms      bigint,
    priority      bigint,
    attempts_made bigint,
    worker        text,             -- who had it last
    failed_reason text,
    fingerprint   text,             -- failed_reason without what varies from job to job
    stacktrace    text,             -- these are JSON as it was written, byte for byte; or any text of a careless client
    progress      text,
    data          text,
    data_bytes    bigint,           -- of data that was left out
    returnvalue   text,
    result_bytes  bigint,           -- of a return value that was left out
    opts          text,
    logs          jsonb,            -- the last lines
    parent_queue  text,
    parent_id     text,
    attempts      jsonb   NOT NULL DEFAULT '{}', -- by the moment of its start: {"end", "worker", "error"}
    fields        jsonb,            -- the plain members of data, for searches
    partial       boolean NOT NULL DEFAULT false, -- put together from events: the job was gone before it could be read
    PRIMARY KEY (prefix, queue, job_id, created_ms)
) PARTITION BY RANGE (created_ms);

CREATE INDEX records_queue ON sluice.records (queue, at_ms);
CREATE INDEX records_org ON sluice.records (org, at_ms);
CREATE INDEX records_name ON sluice.records (name, at_ms);
CREATE INDEX records_unfinished ON sluice.records (state, at_ms) WHERE state <> 'completed';
CREATE INDEX records_fingerprint ON sluice.records (fingerprint, at_ms) WHERE fingerprint IS NOT NULL;
CREATE INDEX records_fields ON sluice.records USING gin (fields jsonb_path_ops) WHERE fields IS NOT NULL;

CREATE TABLE sluice.records_default PARTITION OF sluice.records DEFAULT;

-- Does what is told of a job now take the place of what its record says? A later end does; what is known from events only never takes the place
-- of the end that it is likely to be itself; a removal ends what has not ended otherwise.
CREATE FUNCTION sluice.record_is_newer(old_state text, old_at_ms bigint, new_state text, new_at_ms bigint, new_partial boolean)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN new_state = 'pending' THEN false
                WHEN old_state = 'pending' THEN true
                WHEN new_state = 'removed' THEN old_state = 'removed'
                ELSE old_state = 'removed' OR new_at_ms >= old_at_ms + CASE WHEN new_partial THEN 5000 ELSE 0 END END
$$;

-- Makes the partition of the week that holds this moment, and takes what stands in the default partition into it.
CREATE FUNCTION sluice.records_partition(moment_ms bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    week CONSTANT bigint := 604800000;
    low  CONSTANT bigint := moment_ms / week * week;
    part CONSTANT text := 'records_' || to_char(to_timestamp(low / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    IF moment_ms < 0 OR to_regclass('sluice.' || part) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('sluice.records_partition', 0));
    -- to_regclass may still answer from a cache that does not know of what another session has just made.
    IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = 'sluice'::regnamespace AND relname = part) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE sluice.%I (LIKE sluice.records INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
    EXECUTE format('WITH moved AS (DELETE FROM sluice.records_default WHERE created_ms >= $1 AND created_ms < $2 RETURNING *)
                    INSERT INTO sluice.%I SELECT * FROM moved', part) USING low, low + week;
    EXECUTE format('ALTER TABLE sluice.records ATTACH PARTITION sluice.%I FOR VALUES FROM (%s) TO (%s)', part, low, low + week);
END
$$;

-- Drops the weeks that are over and of whose jobs nothing has been heard since cutoff_ms; returns how many. Gives up, and is asked again
-- later, when somebody is reading for longer than half a second.
CREATE FUNCTION sluice.records_expire(cutoff_ms bigint) RETURNS integer LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    week    CONSTANT bigint := 604800000;
    part    text;
    kept    boolean;
    dropped integer := 0;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'sluice.records'::regclass AND c.relname ~ '^records_[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') - date '1970-01-01')::bigint * 86400000 + week <= cutoff_ms
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM sluice.%I WHERE at_ms >= $1)', part) INTO kept USING cutoff_ms;
        IF NOT kept THEN
            EXECUTE format('DROP TABLE sluice.%I', part);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END
$$;

-- How far the events of a queue have been read for jobs that other programs' workers ended.
CREATE TABLE sluice.record_cursors (
    prefix    text   NOT NULL,
    queue     text   NOT NULL,
    stream_id text   NOT NULL,
    read_ms   bigint NOT NULL,
    PRIMARY KEY (prefix, queue)
);
