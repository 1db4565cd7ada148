-- KEYS: delayed wait prioritized active meta pc events marker
-- Promotes due delayed jobs, 1 000 a call as BullMQ's worker does, and takes none.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  now in ms
-- Reply: {promoted, due time in ms of the next delayed job or 0}.
local rcall = redis.call
--@from moveToActive addBaseMarkerIfNeeded getPriorityScore promoteDelayedJobs getNextDelayedTimestamp
--@from retryJob isQueuePausedOrMaxed
local before = rcall("ZCARD", KEYS[1])
promoteDelayedJobs(KEYS[1], KEYS[8], KEYS[2], KEYS[3], KEYS[7], ARGV[1], ARGV[2], KEYS[6],
  isQueuePausedOrMaxed(KEYS[5], KEYS[4]))
return {before - rcall("ZCARD", KEYS[1]), getNextDelayedTimestamp(KEYS[1]) or 0}
