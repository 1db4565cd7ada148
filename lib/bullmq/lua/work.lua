-- KEYS: wait active prioritized events stalled limiter delayed paused meta pc marker completed failed metrics:completed metrics:failed outbox
-- Ends jobs and takes others, for the workers of one process: as if each ending had called its official script in turn, the last
-- one fetching the next job when it finishes its own, and then moveToActive once for each worker that is still free.
--
-- A job that completes and has no parent, no children and no deduplication id, by far the most frequent, is completed here with
-- the official commands but for those that one run needs only once; so are jobs taken from a queue without a rate limit. The
-- rest goes through the official scripts, each under pcall: what is wrong with one ending does not touch its neighbours.
--
-- ARGV[1]  "P:Q:"
-- ARGV[2]  now in ms
-- ARGV[3]  the worker's name or ""
-- ARGV[4]  life of a lock in ms
-- ARGV[5]  the worker's limiter: max or "", and
-- ARGV[6]  its duration in ms
-- ARGV[7]  how many points of metrics are kept, "" without metrics
-- ARGV[8]  what the tokens of the jobs taken begin with
-- ARGV[9]  how many workers are free
-- ARGV[10] "1": each ending that succeeds makes one more free
-- ARGV[11] how many bytes of a job's data the outbox takes, "" when nothing is written there, and
-- ARGV[12] how many of its return value
-- ARGV[13] for how many ms it is kept under which token a job was completed, "" when it is not
-- then the endings, each one of
--   complete n count age limit, and n times: id token value      what of keepJobs is not given is ""
--   fail id reason opts fields                   opts and fields packed as for moveToFinished
--   delay id token ms skipAttempt fields
--   retry id token push fields
--   release id token
-- Reply: {for each ending the official script's number or the text of an error, for each job taken {its fields, id, token},
-- rate limit in ms, due time in ms of the next delayed job or 0, what went wrong besides or "", now, the worker's name}. A fourth
-- value of a job taken says that its fields are those before it was taken, and the number of this start of it.
local rcall = redis.call
--@from moveToFinished getNextDelayedTimestamp addBaseMarkerIfNeeded getOrSetMaxEvents trimEvents

-- What few runs need is not made in the others: making functions is most of what a short run costs, and the more so the more of
-- what stands around them they use. So those that belong together are made by a function of their own, when the first is called.
local made = {}
local function once(name, make)
  made[name] = made[name] or make()
  return made[name]
end

local function makeOfficial()
  --@call moveToFinished moveToActive moveToDelayed retryJob moveJobFromActiveToWait
  return {
    finish = moveToFinishedScript, take = moveToActiveScript, delay = moveToDelayedScript, retry = retryJobScript,
    release = moveJobFromActiveToWaitScript, promote = promoteDelayedJobs,
  }
end

local function makeMetrics()
  --@from moveToFinished batches collectMetrics
  return collectMetrics
end

local function makeRemoval()
  --@from moveToFinished batches addJobInTargetList isQueuePausedOrMaxed getJobIdFromKey getJobKeyPrefix removeJobKeys _moveParentToWait
  --@from moveToFinished removeParentDependencyKey removeJob removeJobsByMaxAge removeJobsByMaxCount
  return {keys = removeJobKeys, byAge = removeJobsByMaxAge, byCount = removeJobsByMaxCount}
end

local function makeOutbox()
  --@from outbox.lua putEntry entryCaps lastLogLines putAttempt
  return {caps = entryCaps(ARGV[11], ARGV[12]), put = putEntry, logs = lastLogLines, putAttempt = putAttempt}
end

local function bullmq() return once("official", makeOfficial) end
local function removal() return once("removal", makeRemoval) end
local function outbox() return once("outbox", makeOutbox) end

local FIRST_ENDING = 14
local REWRITE_FROM = 8
local WIDTH = {fail = 5, delay = 6, retry = 5, release = 3}
local wait, active, prioritized, events, stalled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local delayed, meta, pc, marker = KEYS[7], KEYS[9], KEYS[10], KEYS[11]
local base, now, points, stem = ARGV[1], ARGV[2], ARGV[7], ARGV[8]

local endings, codes, taken = {}, {}, {}
local limitedMs, nextDelayed, trouble = 0, 0, ""
local free = tonumber(ARGV[9])
local frees = ARGV[10] == "1"
local recorded = ARGV[11] ~= ""
local trimmed = false

local function textOf(failure)
  return type(failure) == "table" and failure.err or tostring(failure)
end

local function newToken()
  return stem .. "-" .. (#taken + 1)
end

-- ---- jobs taken ----

-- A fetching script's reply: true when nothing more is to be had.
local function noteFetched(reply, token)
  if type(reply[1]) == "table" then
    taken[#taken + 1] = {reply[1], reply[2], token}
    return false
  end
  limitedMs, nextDelayed = reply[3], reply[4]
  return true
end

-- An id behind which there is something else than a job, as when somebody has put the name of one of the queue's own keys into a list:
-- whoever takes it fails. It leaves the queue, and the others are taken.
local function stepOver(id)
  rcall("LREM", active, "-1", id)
  rcall("DEL", base .. id .. ":lock")
  trouble = "'" .. id .. "' stood among the jobs and is none"
end

-- The fields of a job, none when its hash is gone, which the official client takes as well, and the number of its next start; nil:
-- something else is there.
local function fieldsOfJob(id)
  local ok, fields = pcall(rcall, "HGETALL", base .. id)
  if not ok then return nil end
  local isJob, starts = #fields == 0, "1"
  for i = 1, #fields, 2 do
    local name = fields[i]
    if name == "timestamp" then
      isJob = true
    elseif name == "ats" then
      starts = string.format("%d", (tonumber(fields[i + 1]) or 0) + 1)
    end
  end
  if isJob then return fields, starts end
end

local function workerOpts(token)
  local opts = {token = token, lockDuration = tonumber(ARGV[4])}
  if ARGV[3] ~= "" then opts.name = ARGV[3] end
  if ARGV[5] ~= "" then opts.limiter = {max = tonumber(ARGV[5]), duration = tonumber(ARGV[6])} end
  return opts
end

local function makeOfficialTaking()
  local function takeOneOfficially()
    local token = newToken()
    local ok, reply = pcall(bullmq().take, KEYS, {base, now, cmsgpack.pack(workerOpts(token))})
    if ok then return noteFetched(reply, token) end
    local id = rcall("LINDEX", active, "0") -- the one at which it failed
    if not id or fieldsOfJob(id) then error(reply, 0) end
    stepOver(id)
    return false
  end

  local function takeOfficially(n)
    for _ = 1, n do
      if takeOneOfficially() then return end
    end
  end

  return takeOfficially
end

local function takeOfficially(n)
  return once("officialTaking", makeOfficialTaking)(n)
end

local function prepare(id)
  local jobKey, token, worker = base .. id, newToken(), ARGV[3]
  local fields, starts = fieldsOfJob(id)
  if not fields then return stepOver(id) end
  rcall("SET", jobKey .. ":lock", token, "PX", ARGV[4])
  rcall("XADD", events, "*", "event", "active", "jobId", id, "prev", "waiting")
  if worker == "" then
    rcall("HSET", jobKey, "processedOn", now, "ats", starts)
  else
    rcall("HSET", jobKey, "processedOn", now, "ats", starts, "pb", worker)
  end
  taken[#taken + 1] = {fields, id, token, starts}
end

-- The next n ids in the order in which they are due to run, moved to active; false when an old client's marker stands among them.
local function moveToActiveList(n)
  local ids = {}
  local waiting = rcall("LRANGE", wait, -n, -1)
  for i = #waiting, 1, -1 do
    if string.sub(waiting[i], 1, 2) == "0:" then return false end
    ids[#ids + 1] = waiting[i]
  end
  if #ids > 0 then
    rcall("LPUSH", active, unpack(ids))
    rcall("LTRIM", wait, 0, -1 - #ids)
  end
  if #ids == n then return ids end
  local popped = rcall("ZPOPMIN", prioritized, n - #ids)
  for i = 1, #popped, 2 do
    rcall("LPUSH", active, popped[i])
    ids[#ids + 1] = popped[i]
  end
  if #ids < n then rcall("DEL", pc) end
  return ids
end

local function take(n)
  local paused, concurrency, max = unpack(rcall("HMGET", meta, "paused", "concurrency", "max"))
  if max or ARGV[5] ~= "" then return takeOfficially(n) end
  if concurrency then n = math.min(n, tonumber(concurrency) - rcall("LLEN", active)) end
  local mayTake = not paused and n > 0
  local due = getNextDelayedTimestamp(delayed)
  if due and due < now + 1 then
    bullmq().promote(delayed, marker, wait, prioritized, events, base, now, pc, not mayTake)
  end
  if not mayTake then return end
  local ids = moveToActiveList(n)
  if not ids then return takeOfficially(n) end
  for _, id in ipairs(ids) do prepare(id) end
  if #ids > 0 then addBaseMarkerIfNeeded(marker, false) end
  if #ids < n then nextDelayed = getNextDelayedTimestamp(delayed) or 0 end
end

-- ---- the outbox ----

local function makeRecording()
  local function noteOutbox(failure)
    if failure then trouble = failure end
  end

  -- What is known of a job that is about to end; nil when it is gone.
  local function snapshot(id)
    local fields = rcall("HGETALL", base .. id)
    return #fields > 0 and {id = id, fields = fields, logs = outbox().logs(base .. id .. ":logs")} or nil
  end

  local function recordEnd(job, ...)
    local fields, more = job.fields, {...}
    for i = 1, #more do fields[#fields + 1] = more[i] end
    noteOutbox(outbox().put(KEYS[16], "end", job.id, now, fields, outbox().caps, job.logs))
  end

  return {snapshot = snapshot, ending = recordEnd, note = noteOutbox}
end

local function recording() return once("recording", makeRecording) end

-- ---- endings by the official scripts ----

local nothingElse = false -- a fetch has told that no more is to be had

local function makeOfficialEndings()
  local function keysAt(...)
    local keys = {}
    for i, position in ipairs({...}) do keys[i] = KEYS[position] or position end
    return keys
  end

  local function finish(id, failed, value, opts, fields, fetch)
    local keys = keysAt(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, failed and 13 or 12, base .. id, failed and 15 or 14, 11)
    return bullmq().finish(keys, {id, now, failed and "failedReason" or "returnvalue", value,
      failed and "failed" or "completed", fetch and "1" or "0", base, opts, fields})
  end

  local official = {
    complete = function(e, fetch)
      local opts = workerOpts(e[3])
      opts.keepJobs = e.keep
      opts.attempts = 0
      opts.maxMetricsSize = tonumber(points) or ""
      return finish(e[2], false, e[4], cmsgpack.pack(opts), "", fetch), e[3]
    end,
    fail = function(e, fetch)
      return finish(e[2], true, e[3], e[4], e[5], fetch), fetch and cmsgpack.unpack(e[4])["token"]
    end,
    delay = function(e)
      return bullmq().delay(keysAt(11, 2, 3, 7, base .. e[2], 4, 9, 5, 1, 6, 10),
        {base, now, e[2], e[3], e[4], e[5], e[6], "0", ""})
    end,
    retry = function(e)
      return bullmq().retry(keysAt(2, 1, 8, base .. e[2], 9, 4, 7, 3, 10, 11, 5), {base, now, e[4], e[2], e[3], e[5]})
    end,
    release = function(e)
      return bullmq().release(keysAt(2, 1, 5, 8, 9, 6, 3, 11, 4), {e[2], e[3], base .. e[2]})
    end,
  }

  -- What the outbox is told of an ending that the official script has accepted; `job` is what was known before.
  local record = {
    complete = function(e, job, attempt)
      recording().ending(job, "atm", attempt, "returnvalue", e[4], "finishedOn", now)
    end,
    fail = function(e, job, attempt)
      recording().ending(job, "atm", attempt, "failedReason", e[3], "finishedOn", now, unpack(cmsgpack.unpack(e[5])))
    end,
    delay = function(e)
      if e[5] == "0" then recording().note(outbox().putAttempt(KEYS[16], base, e[2], now, outbox().caps)) end
    end,
    retry = function(e)
      recording().note(outbox().putAttempt(KEYS[16], base, e[2], now, outbox().caps))
    end,
    release = function() end,
  }

  local function attemptOf(job)
    local made = 0
    for i = 1, #job.fields, 2 do
      if job.fields[i] == "atm" then made = tonumber(job.fields[i + 1]) or 0 end
    end
    return string.format("%d", made + 1)
  end

  local function endOfficially(place)
    local e, fetch = endings[place], place == #endings and (frees or free > 0)
    local finishes = e[1] == "complete" or e[1] == "fail"
    local known, job = true, nil
    if recorded and finishes then known, job = pcall(recording().snapshot, e[2]) end
    local ok, reply, token = pcall(official[e[1]], e, fetch)
    if not ok then
      codes[place] = textOf(reply)
    elseif type(reply) == "number" then
      codes[place] = reply
    else
      codes[place] = 0
      nothingElse = noteFetched(reply, token)
    end
    if recorded and codes[place] == 0 and known and (job or not finishes) then
      local written, failure = pcall(record[e[1]], e, job, job and attemptOf(job))
      if not written then trouble = textOf(failure) end
    end
  end

  return endOfficially
end

-- ---- completions of plain jobs ----

local function addDrainedIfEmpty()
  if rcall("LLEN", wait) == 0 and rcall("LLEN", active) == 0 and rcall("ZCARD", prioritized) == 0 then
    rcall("XADD", events, "*", "event", "drained")
  end
end

local drainedIsOpen = false -- the last ending finished a job: the queue is drained unless there is a job to take

local function makeCompletions()
  -- What is needed of each completion's job before anything is written: its locks, whether it is a plain one.
  local function lookAtCompletions()
    local places, lockKeys, childKeys, seen = {}, {}, {}, {}
    for place, e in ipairs(endings) do
      if e[1] == "complete" and not seen[e[2]] then
        local jobKey = base .. e[2]
        places[#places + 1] = place
        e.jobKey, e.lockKey = jobKey, jobKey .. ":lock"
        lockKeys[#lockKeys + 1] = e.lockKey
        childKeys[#childKeys + 1] = jobKey .. ":dependencies"
        childKeys[#childKeys + 1] = jobKey .. ":unsuccessful"
      end
      seen[e[2]] = true -- of a job that is ended twice the first ending changes what the second finds
    end
    if #places == 0 then return end
    local locks = rcall("MGET", unpack(lockKeys))
    local anyChildren = rcall("EXISTS", unpack(childKeys)) > 0
    for i, place in ipairs(places) do
      local e = endings[place]
      local ok, fields = pcall(rcall, "HMGET", e.jobKey, "timestamp", "atm", "parentKey", "parent", "deid")
      e.plain = ok and locks[i] == e[3] and e[3] ~= "0" and fields[1] and tonumber(fields[2] or 0) and not fields[3] and not fields[4] and
        not fields[5] and not (anyChildren and rcall("EXISTS", childKeys[2 * i - 1], childKeys[2 * i]) > 0)
      e.attempt = e.plain and string.format("%d", (fields[2] or 0) + 1)
    end
  end

  local function removeSurplus(keep, n)
    local count = keep.count
    for _ = 1, keep.age and n or 0 do
      if rcall("ZCOUNT", KEYS[12], "-inf", now - keep.age * 1000) == 0 then break end
      removal().byAge(now, keep.age, KEYS[12], base, keep.limit or 1000)
    end
    if count and count > 0 and rcall("ZCARD", KEYS[12]) > count then removal().byCount(count, KEYS[12], base) end
  end

  -- Each id out of the active list, as LREM takes it out, the last first: for many in a short list it is written anew. Tells which
  -- were there.
  local function leaveActive(ids)
    local was = {}
    if #ids < REWRITE_FROM or rcall("LLEN", active) > #ids * 4 then
      for _, id in ipairs(ids) do was[id] = rcall("LREM", active, "-1", id) > 0 end
      return was
    end
    local leaving, staying, list = {}, {}, rcall("LRANGE", active, "0", "-1")
    for _, id in ipairs(ids) do leaving[id] = true end
    for i = #list, 1, -1 do
      local id = list[i]
      if leaving[id] then
        leaving[id], was[id] = nil, true
      else
        staying[#staying + 1] = id
      end
    end
    rcall("DEL", active)
    if #staying > 0 then rcall("LPUSH", active, unpack(staying)) end
    return was
  end

  local function completeOne(place, keeps, members, logged)
    local e = endings[place]
    local id, value, jobKey = e[2], e[4], e.jobKey
    if not trimmed then trimEvents(meta, events) end
    trimmed = true
    if recorded then
      recording().ending({id = id, fields = rcall("HGETALL", jobKey), logs = logged and outbox().logs(jobKey .. ":logs")},
        "atm", e.attempt, "returnvalue", value, "finishedOn", now)
    end
    if keeps then
      rcall("HSET", jobKey, "atm", e.attempt, "returnvalue", value, "finishedOn", now)
      members[#members + 1] = now
      members[#members + 1] = id
    else
      removal().keys(jobKey)
    end
    rcall("XADD", events, "*", "event", "completed", "jobId", id, "returnvalue", value, "prev", "active")
    codes[place] = 0
  end

  local function anyLogs(ids)
    local keys = {}
    for i, id in ipairs(ids) do keys[i] = base .. id .. ":logs" end
    return rcall("EXISTS", unpack(keys)) > 0
  end

  -- The endings from `first` to `last`: plain ones that keep the same number of jobs.
  local function completeRun(first, last)
    local keep = endings[first].keep
    local ids, lockKeys, members, done = {}, {}, {}, 0
    for place = first, last do
      local e = endings[place]
      ids[#ids + 1] = e[2]
      lockKeys[#lockKeys + 1] = e.lockKey
    end
    local logged = recorded and anyLogs(ids)
    rcall("DEL", unpack(lockKeys))
    rcall("SREM", stalled, unpack(ids))
    local was = leaveActive(ids)
    for place = first, last do
      if was[endings[place][2]] then
        completeOne(place, keep.count ~= 0, members, logged)
        done = done + 1
      else
        codes[place] = -3
      end
    end
    if done == 0 then return end
    if keep.count ~= 0 then
      rcall("ZADD", KEYS[12], unpack(members))
      local ok, failure = pcall(removeSurplus, keep, done)
      if not ok then trouble = textOf(failure) end
    end
    if points ~= "" then
      once("metrics", makeMetrics)(KEYS[14], KEYS[14] .. ":data", points, now)
      if done > 1 then rcall("HINCRBY", KEYS[14], "count", done - 1) end
    end
    if last == #endings and codes[last] == 0 and (frees or free > 0) then
      drainedIsOpen = true
    else
      addDrainedIfEmpty()
    end
  end

  local function completePlain(first)
    local last, keep = first, endings[first].keep
    while endings[last + 1] and endings[last + 1].plain and endings[last + 1].keep == keep do last = last + 1 end
    local ok, failure = pcall(completeRun, first, last)
    for place = first, last do
      codes[place] = codes[place] or textOf(failure)
    end
    if not ok then trouble = textOf(failure) end
    return last + 1
  end

  return {look = lookAtCompletions, complete = completePlain}
end

-- ---- the run ----
-- Completions that keep the same of their jobs; returns where they end.
local function readCompletions(at)
  local keep = {count = tonumber(ARGV[at + 2]), age = tonumber(ARGV[at + 3]), limit = tonumber(ARGV[at + 4])}
  local first = at + 5
  local last = first + 3 * tonumber(ARGV[at + 1])
  for i = first, last - 1, 3 do
    endings[#endings + 1] = {"complete", ARGV[i], ARGV[i + 1], ARGV[i + 2], keep = keep}
  end
  return last
end

local at = FIRST_ENDING
while at <= #ARGV do
  local width = WIDTH[ARGV[at]]
  if width then
    endings[#endings + 1] = {unpack(ARGV, at, at + width - 1)}
    at = at + width
  else
    at = readCompletions(at)
  end
end
local completions = #endings > 0 and makeCompletions()
if completions then completions.look() end
local place = 1
while place <= #endings do
  if endings[place].plain then
    place = completions.complete(place)
  else
    once("officialEndings", makeOfficialEndings)(place)
    place = place + 1
  end
end
if ARGV[13] ~= "" then
  for i, e in ipairs(endings) do
    if e[1] == "complete" and codes[i] == 0 then rcall("SET", base .. e[2] .. ":ended", e[3], "PX", ARGV[13]) end
  end
end
if frees then
  for _, code in ipairs(codes) do
    if type(code) == "number" and code >= 0 then free = free + 1 end
  end
end
free = free - #taken
if free > 0 and not nothingElse then
  local ok, failure = pcall(take, free)
  if not ok then trouble = textOf(failure) end
end
if drainedIsOpen and #taken == 0 and limitedMs == 0 and nextDelayed == 0 and rcall("HEXISTS", meta, "paused") == 0 then
  addDrainedIfEmpty()
end
return {codes, taken, limitedMs, nextDelayed, trouble, now, ARGV[3]}
