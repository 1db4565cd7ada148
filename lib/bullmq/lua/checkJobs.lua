-- KEYS: base wait active paused delayed prioritized waiting-children completed failed marker meta
-- Looks whether each job stands in exactly one place, all at one moment, and mends that if asked to. No job is thrown away.
-- ARGV[1]  "1": mend
-- ARGV[2…] ids
-- Reply: for each id "" (well), "orphan" (a job in no place), "no-job" (a place without a job) or "twice" (more than one place).
local rcall = redis.call
local base, mend, reply = KEYS[1], ARGV[1] == "1", {}
local lists = {[2] = true, [3] = true, [4] = true}

-- The places of an id: {key, how often}.
local function placesOf(id)
  local places, n = {}, 0
  for i = 2, 9 do
    if lists[i] then
      local found = #rcall("LPOS", KEYS[i], id, "COUNT", 2)
      if found > 0 then places[i] = found end
      n = n + found
    elseif rcall("ZSCORE", KEYS[i], id) then
      places[i] = 1
      n = n + 1
    end
  end
  return places, n
end

local function take(id, places, but)
  for i in pairs(places) do
    if i ~= but then
      if lists[i] then rcall("LREM", KEYS[i], 0, id) else rcall("ZREM", KEYS[i], id) end
    end
  end
end

-- Nobody else would look for what is due.
local function mark(score, member)
  if rcall("HEXISTS", KEYS[11], "paused") == 0 then rcall("ZADD", KEYS[10], score, member) end
end

-- To where it belongs by what its hash says: it has ended, waits for children or for its time, or waits.
local function place(id)
  local job = rcall("HMGET", base .. id, "finishedOn", "failedReason", "priority", "delay", "timestamp")
  local priority, delay, added = tonumber(job[3]) or 0, tonumber(job[4]) or 0, tonumber(job[5]) or 0
  if job[1] then
    rcall("ZADD", KEYS[job[2] and 9 or 8], job[1], id)
  elseif rcall("SCARD", base .. id .. ":dependencies") > 0 then
    rcall("ZADD", KEYS[7], added, id)
  elseif delay > 0 then
    rcall("ZADD", KEYS[5], (added + delay) * 0x1000, id)
    mark(rcall("ZRANGE", KEYS[5], 0, 0, "WITHSCORES")[2] / 0x1000, "1")
  else
    if priority > 0 then rcall("ZADD", KEYS[6], priority * 0x100000000, id) else rcall("RPUSH", KEYS[2], id) end
    mark(0, "0")
  end
end

-- Of several places, the one that its lock or its hash speaks for; else where it does the least: before it is taken.
local function keep(id, places)
  local finished = rcall("HEXISTS", base .. id, "finishedOn") == 1
  local order = finished and {8, 9, 2, 6, 5, 7, 4, 3} or {5, 7, 6, 2, 4, 3, 8, 9}
  if rcall("EXISTS", base .. id .. ":lock") == 1 then table.insert(order, 1, 3) end
  for _, i in ipairs(order) do
    if places[i] then
      take(id, places, i)
      if lists[i] and places[i] > 1 then rcall("LREM", KEYS[i], places[i] - 1, id) end
      return
    end
  end
end

for a = 2, #ARGV do
  local id, fault = ARGV[a], ""
  local isJob = rcall("TYPE", base .. id).ok == "hash" and rcall("HEXISTS", base .. id, "timestamp") == 1
  local places, n = placesOf(id)
  if isJob and n == 0 and rcall("EXISTS", base .. id .. ":lock") == 0 then
    fault = "orphan"
    if mend then place(id) end
  elseif not isJob and n > 0 then
    fault = "no-job"
    if mend then take(id, places) end
  elseif n > 1 then
    fault = "twice"
    if mend then keep(id, places) end
  end
  reply[#reply + 1] = fault
end
return reply
