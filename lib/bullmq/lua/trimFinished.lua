-- KEYS: <finished>
-- Removes finished jobs past a policy, the oldest first and a bounded number a call, as BullMQ's worker removes them when
-- it finishes a job.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  now in ms
-- ARGV[3]  how many stay, "-1" all
-- ARGV[4]  how many seconds they stay, "-1" for ever
-- ARGV[5]  how many may be removed
-- Reply: how many were removed.
local rcall = redis.call
--@from moveToFinished addBaseMarkerIfNeeded addJobInTargetList isQueuePausedOrMaxed getJobIdFromKey getJobKeyPrefix
--@from moveToFinished removeJobKeys _moveParentToWait removeParentDependencyKey removeJob
local count, age, limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local surplus = 0
if count >= 0 then surplus = rcall("ZCARD", KEYS[1]) - count end
if age >= 0 then
  surplus = math.max(surplus, rcall("ZCOUNT", KEYS[1], "-inf", tonumber(ARGV[2]) - age * 1000))
end
surplus = math.min(surplus, limit)
if surplus <= 0 then return 0 end
local ids = rcall("ZRANGE", KEYS[1], 0, surplus - 1)
for _, id in ipairs(ids) do
  removeJob(id, false, ARGV[1], false)
  rcall("ZREM", KEYS[1], id)
end
return #ids
