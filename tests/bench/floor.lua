-- ARGV: "P:Q:", now in ms, how many jobs to take, then the ids of the jobs that are completed
-- The commands by which jobs of BullMQ's are completed and others taken, those that can be shared shared, and nothing that decides
-- anything: what Redis takes for a job whoever tells it what to do. Replies with the ids of the jobs taken, and their fields.
local rcall, base, now = redis.call, ARGV[1], ARGV[2]

local ended = #ARGV - 3
if ended > 0 then
  local ids, locks, children, members = {unpack(ARGV, 4)}, {}, {}, {}
  for i = 1, ended do
    locks[i] = base .. ids[i] .. ":lock"
    children[2 * i - 1], children[2 * i] = base .. ids[i] .. ":dependencies", base .. ids[i] .. ":unsuccessful"
    members[2 * i - 1], members[2 * i] = now, ids[i]
  end
  rcall("MGET", unpack(locks))
  rcall("EXISTS", base .. "stalled", base .. "delayed", unpack(children))
  rcall("DEL", unpack(locks))
  rcall("XTRIM", base .. "events", "MAXLEN", "~", "10000")
  for i = 1, ended do
    local id = ids[i]
    rcall("LREM", base .. "active", "-1", id)
    rcall("HLEN", base .. id)
    rcall("HSET", base .. id, "atm", "1", "returnvalue", "null", "finishedOn", now)
    rcall("XADD", base .. "events", "*", "event", "completed", "jobId", id, "returnvalue", "null", "prev", "active")
  end
  rcall("ZADD", base .. "completed", unpack(members))
  rcall("HINCRBY", base .. "metrics:completed", "count", "1")
end

rcall("HMGET", base .. "meta", "opts.maxLenEvents", "paused", "concurrency", "max")
local ids, fields = rcall("RPOP", base .. "wait", ARGV[3]) or {}, {}
if #ids > 0 then rcall("LPUSH", base .. "active", unpack(ids)) end
for i = 1, #ids do
  local id = ids[i]
  fields[i] = rcall("HGETALL", base .. id)
  rcall("PSETEX", base .. id .. ":lock", "30000", "a-token-of-some-length-for-the-lock-of-it")
  rcall("XADD", base .. "events", "*", "event", "active", "jobId", id, "prev", "waiting")
  rcall("HSET", base .. id, "processedOn", now, "ats", "1", "pb", "a-worker")
end
rcall("ZADD", base .. "marker", "0", "0")
return {ids, fields}
