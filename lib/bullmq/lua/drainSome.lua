-- KEYS: wait paused prioritized delayed repeat outbox
-- A part of what the official client's drain does in one go: removes jobs that wait, but those that the schedules have put up next,
-- and writes each into the outbox.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  "1": delayed jobs, too
-- ARGV[3]  about how many
-- ARGV[4]  now in ms
-- ARGV[5]  how many bytes of a job's data the outbox takes, "" when nothing is written there, and
-- ARGV[6]  how many of its return value
-- Reply: how many were removed; fewer than asked for when there are no more.
local rcall = redis.call
--@from drain removeDeduplicationKeyIfNeededOnRemoval removeJobKeys addBaseMarkerIfNeeded addJobInTargetList isQueuePausedOrMaxed
--@from outbox.lua putEntry entryCaps
--@from drain getJobIdFromKey getJobKeyPrefix _moveParentToWait removeParentDependencyKey removeJob
local scheduled, n = {}, 0
local schedulers = rcall("ZRANGE", KEYS[5], 0, -1, "WITHSCORES")
for i = 1, #schedulers, 2 do
  scheduled["repeat:" .. schedulers[i] .. ":" .. schedulers[i + 1]] = true
  n = n + 1
end

local limit, removed = tonumber(ARGV[3]), 0
local caps = ARGV[5] ~= "" and entryCaps(ARGV[5], ARGV[6])

local function write(id)
  local fields = rcall("HGETALL", ARGV[1] .. id)
  if #fields > 0 then putEntry(KEYS[6], "removed", id, ARGV[4], fields, caps) end
end

local function remove(ids)
  local kept = {}
  for _, id in ipairs(ids) do
    if scheduled[id] then
      kept[#kept + 1] = id
    else
      if caps then write(id) end
      removeJob(id, true, ARGV[1], true)
      removed = removed + 1
    end
  end
  return kept
end

for i = 1, 2 do
  if removed < limit then
    local ids = rcall("LRANGE", KEYS[i], 0, limit - removed + n - 1)
    rcall("LTRIM", KEYS[i], #ids, -1)
    local kept = remove(ids)
    for k = #kept, 1, -1 do rcall("LPUSH", KEYS[i], kept[k]) end
  end
end
for i = 3, ARGV[2] == "1" and 4 or 3 do
  if removed < limit then
    for _, id in ipairs(rcall("ZRANGE", KEYS[i], 0, limit - removed + n - 1)) do
      if not scheduled[id] then
        remove({id})
        rcall("ZREM", KEYS[i], id)
      end
    end
  end
end
return removed
