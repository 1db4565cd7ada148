-- Does what is told of a job now take the place of what its record says? As before, with two exceptions for jobs that were tried again after they had
-- failed. What is known from events only may be the end that stands there already, but then it is an end of the same kind. And the times are those of
-- the clocks of whoever ended the job, so the end of a later attempt counts even where its time is earlier.
-- The function with five parameters stays for processes that were started before this one was there.
CREATE FUNCTION sluice.record_is_newer(old_state text, old_at_ms bigint, old_attempts bigint, new_state text, new_at_ms bigint, new_attempts bigint,
                                       new_partial boolean)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN new_state = 'pending' THEN false
                WHEN old_state = 'pending' THEN true
                WHEN new_state = 'removed' THEN old_state = 'removed'
                ELSE old_state = 'removed' OR coalesce(new_attempts > old_attempts, false)
                     OR new_at_ms >= old_at_ms + CASE WHEN new_partial AND new_state = old_state THEN 5000 ELSE 0 END END
$$;
