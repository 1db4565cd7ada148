-- KEYS: <set> events repeat outbox
-- A part of what the official client's clean does in one go: looks at a few jobs of a state, those first that it would look at first,
-- and removes the ones that are old enough. Jobs that somebody holds, younger ones and those that the schedules have put up next stay
-- where they are; whoever goes on passes over them. A list is walked along from its tail, and no further than to what is looked at.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  up to when a job is old enough, in ms
-- ARGV[3]  how many are looked at
-- ARGV[4]  how many have been looked at before, and stay
-- ARGV[5]  the state: "wait", "active", "delayed", "prioritized", "completed", "failed"
-- ARGV[6]  now in ms
-- ARGV[7]  how many bytes of a job's data the outbox takes, "" when nothing is written there, and
-- ARGV[8]  how many of its return value
-- Reply: how many were looked at, how many of these were removed.
local rcall = redis.call
--@from cleanJobsInSet getTimestamp isJobSchedulerJob removeDeduplicationKeyIfNeededOnRemoval removeJobKeys
--@from cleanJobsInSet addBaseMarkerIfNeeded addJobInTargetList isQueuePausedOrMaxed getJobIdFromKey getJobKeyPrefix
--@from cleanJobsInSet _moveParentToWait removeParentDependencyKey removeJob
--@from outbox.lua putEntry entryCaps
local set, base, upTo, limit, passed, state = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local isList = state == "wait" or state == "active"
local hasEnded = state == "completed" or state == "failed" -- looked for by the time of their end, recorded at it, and on no schedule
local ages = {
  wait = {"finishedOn", "processedOn", "timestamp"}, active = {"finishedOn", "processedOn", "timestamp"},
  delayed = {"processedOn", "timestamp"}, prioritized = {"timestamp"},
}
local caps = not hasEnded and ARGV[7] ~= "" and entryCaps(ARGV[7], ARGV[8])

local function isOld(key)
  local since = tonumber(getTimestamp(key, ages[state]))
  return not since or since <= tonumber(upTo)
end

local function goes(id, key)
  if hasEnded then return true end
  if state == "active" and rcall("EXISTS", key .. ":lock") == 1 then return false end
  return not isJobSchedulerJob(id, key, KEYS[3]) and isOld(key)
end

local function remove(id)
  local key = base .. id
  if not goes(id, key) then return false end
  local fields = caps and rcall("HGETALL", key) or {}
  removeJob(id, true, base, true)
  if #fields > 0 then putEntry(KEYS[4], "removed", id, ARGV[6], fields, caps) end
  return true
end

local ids, removed = nil, {}
if isList then
  ids = rcall("LRANGE", set, -passed - limit, -passed - 1)
else
  ids = rcall("ZRANGEBYSCORE", set, 0, hasEnded and upTo or "+inf", "LIMIT", passed, limit)
end
for i, id in ipairs(ids) do
  local ok, gone = pcall(remove, id) -- one behind whose id there is something else than a job stays, and does not hold up the others
  if ok and gone then
    if isList then rcall("LSET", set, i - #ids - 1 - passed, "") end
    removed[#removed + 1] = id
  end
end
if #removed > 0 then
  if isList then rcall("LREM", set, -#removed, "") else rcall("ZREM", set, unpack(removed)) end
end
rcall("XADD", KEYS[2], "*", "event", "cleaned", "count", #removed)
return {#ids, #removed}
