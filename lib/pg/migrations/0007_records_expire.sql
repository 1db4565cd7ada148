-- Deployments may share a database, and the gateways of one may declare different queues: who says for how long records are kept says it of its
-- own queues only. Programs of before call the first of these beside newer ones, which do it for them.
CREATE OR REPLACE FUNCTION sluice.records_expire(cutoff_ms bigint) RETURNS integer LANGUAGE sql AS 'SELECT 0';

-- Is there anything in that week but what these queues have kept for long enough?
CREATE FUNCTION sluice.records_kept(part text, cutoff_ms bigint, of_prefix text, of_queues text[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    kept boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM sluice.%1$I WHERE prefix < $2 OR prefix > $2)
                        OR EXISTS (SELECT 1 FROM sluice.%1$I WHERE queue = ANY ($3) AND at_ms >= $1)
                        OR EXISTS (SELECT 1 FROM sluice.%1$I WHERE queue <> ALL ($3))', part) INTO kept USING cutoff_ms, of_prefix, of_queues;
    RETURN kept;
END
$$;

-- Drops the weeks that are over and hold nothing but what these queues have heard of before cutoff_ms; returns how many. What comes into one after
-- it was looked at keeps it. Gives up, and is asked again later, when somebody is at work there for longer than half a second.
CREATE FUNCTION sluice.records_expire(cutoff_ms bigint, of_prefix text, of_queues text[]) RETURNS integer LANGUAGE plpgsql
SET lock_timeout = '500ms' AS $$
DECLARE
    week    CONSTANT bigint := 604800000;
    part    text;
    dropped integer := 0;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'sluice.records'::regclass AND c.relname ~ '^records_[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') - date '1970-01-01')::bigint * 86400000 + week <= cutoff_ms
    LOOP
        CONTINUE WHEN sluice.records_kept(part, cutoff_ms, of_prefix, of_queues);
        EXECUTE format('LOCK TABLE sluice.%I IN EXCLUSIVE MODE', part); -- readers go on while it is looked at once more
        CONTINUE WHEN sluice.records_kept(part, cutoff_ms, of_prefix, of_queues);
        EXECUTE format('DROP TABLE sluice.%I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
