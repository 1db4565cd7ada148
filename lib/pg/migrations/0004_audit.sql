-- Who changed what: the audit lines, in the order in which they were written, each bound to the one before by its hash (lib/audit/chain.h says over
-- what). Rows are only ever added.
CREATE TABLE sluice.audit (
    prefix     text   NOT NULL, -- BULLMQ_PREFIX: deployments may share a database, and each has a chain of its own
    seq        bigint NOT NULL, -- 1, 2, … without a gap
    at_ms      bigint NOT NULL,
    action     text   NOT NULL,
    target     text,
    sub        text,
    org        text,
    request_id text,
    ip         text,
    status     bigint,
    count      bigint NOT NULL, -- lines that are folded into this one
    ids        text,            -- of the jobs, a JSON array, where there are several
    before     text,            -- JSON, byte for byte
    after      text,
    source     text   NOT NULL, -- the process
    hash       bytea  NOT NULL,
    PRIMARY KEY (prefix, seq)
);

CREATE INDEX audit_at ON sluice.audit (prefix, at_ms);
CREATE INDEX audit_sub ON sluice.audit (prefix, sub, seq);
CREATE INDEX audit_action ON sluice.audit (prefix, action, seq);
CREATE INDEX audit_target ON sluice.audit (prefix, target text_pattern_ops, seq);

CREATE FUNCTION sluice.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of sluice.audit are only ever added';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sluice.audit FOR EACH STATEMENT EXECUTE FUNCTION sluice.audit_refuse();

-- The end of each chain, so that rows missing there are noticed.
CREATE TABLE sluice.audit_heads (
    prefix text   PRIMARY KEY,
    seq    bigint NOT NULL,
    hash   bytea  NOT NULL
);

-- How many lines of each process have been written: what comes again is passed over, what is missing leaves a row that says so.
CREATE TABLE sluice.audit_sources (
    prefix text   NOT NULL,
    source text   NOT NULL,
    lines  bigint NOT NULL,
    PRIMARY KEY (prefix, source)
);
