-- KEYS: wait active stalled completed failed events outbox
-- Ends a job at which the official scripts fail half-way, because what stands in its hash or beside it is not of their making: it
-- leaves every list and has failed, with a reason that says so. Who writes such things has write access to Redis and can do worse; this
-- bounds it to the one job. Its parent is told nothing, as what the job says of it may be what cannot be read.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  now in ms
-- ARGV[3]  the job's id
-- ARGV[4]  token of its lock; the lock may be gone already
-- ARGV[5]  the reason
-- ARGV[6]  how many bytes of a job's data the outbox takes, "" when nothing is written there, and
-- ARGV[7]  how many of its return value
-- Reply: 0, -6 when another worker has it, -3 when it has ended already.
local rcall = redis.call
--@from outbox.lua putEntry entryCaps lastLogLines
local wait, active, stalled, completed, failed, events = unpack(KEYS)
local now, id, jobKey = ARGV[2], ARGV[3], ARGV[1] .. ARGV[3]
local holder = rcall("GET", jobKey .. ":lock")
if holder and holder ~= ARGV[4] then return -6 end
rcall("DEL", jobKey .. ":lock")
rcall("SREM", stalled, id)
if rcall("LREM", active, "-1", id) == 0 then rcall("LREM", wait, "1", id) end
if rcall("ZSCORE", completed, id) or rcall("ZSCORE", failed, id) then return -3 end
if rcall("TYPE", jobKey)["ok"] ~= "hash" then return 0 end
rcall("HSET", jobKey, "failedReason", ARGV[5], "finishedOn", now)
rcall("HDEL", jobKey, "defa")
rcall("ZADD", failed, now, id)
rcall("XADD", events, "*", "event", "failed", "jobId", id, "failedReason", ARGV[5], "prev", "active")
if ARGV[6] ~= "" then
  putEntry(KEYS[7], "end", id, now, rcall("HGETALL", jobKey), entryCaps(ARGV[6], ARGV[7]), lastLogLines(jobKey .. ":logs"))
end
return 0
