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
-- ARGV[5]  how many points of metrics are kept, "" without metrics
-- ARGV[6]  the token of the jobs taken, or what it begins with
-- ARGV[7]  how many workers are free
-- ARGV[8]  "1": each ending that succeeds makes one more free
-- then what not every call needs
--   limiter max ms                               the worker's
--   outbox data returnvalue                      how many bytes of a job's data it takes, and how many of its return value
--   proof ms                                     for so long it is kept under which token a job was completed
--   apart                                        each job taken has a token of its own
-- then the endings, each one of
--   complete n count age limit, and n times: id token value shape
--                                                what of keepJobs is not given is ""; shape: see below
--   fail id reason opts fields                   opts and fields packed as for moveToFinished
--   delay id token ms skipAttempt fields
--   retry id token push fields
--   release id token
-- shape: how many fields the job's hash had when it was taken, given only where it had neither an attempt behind it nor a parent nor a
-- deduplication id. Whatever gives it one of these while its lock is held adds fields, and nothing takes any away; so where there
-- are still as many, none of them needs to be read. "" where it is not known.
--
-- Reply: {for each ending the official script's number or the text of an error, for each job taken its fields, id, token and the number
-- of this start of it, rate limit in ms, due time in ms of the next delayed job or 0, what went wrong besides or "", now, the worker's
-- name}. The fields are those before the job was taken; where the number is "", those after.
local rcall = redis.call

-- Most of what a short run costs is not the commands: making functions, the more so the more of what stands around them they use,
-- making tables, and turning numbers into texts and back. So what is done once stands where it is done, functions that few runs
-- need are made in the branch that needs them, and what is passed on stays the text that it was.
local base, now = ARGV[1], ARGV[2]
local FIRST_OPTION = 9

-- An ending: {what it is, id, token, value, the key of the job, that of its lock, the place in ARGV behind the head of its group, the number
-- of the attempt that it is when the job is a plain one, else false} for a completion; another as it stands in ARGV.
local endings, codes, taken = {}, {}, {}
local limitedMs, nextDelayed, trouble = 0, 0, ""
local free, frees = tonumber(ARGV[7]), ARGV[8] == "1"
local limiterMax, limiterMs, dataCap, resultCap, proofMs, tokensApart
local meta -- opts.maxLenEvents, paused, concurrency, max of the queue, once they are read
local drainedIsOpen = false -- the last ending finished a job: the queue is drained unless there is a job to take
local noneDelayed, noneStalled = false, false -- it is known that there are none

local function textOf(failure)
  return type(failure) == "table" and failure.err or tostring(failure)
end

-- The fields of a job, none when its hash is gone, which the official client takes as well, and the number of its next start; nil:
-- something else is there, as when somebody has put the name of one of the queue's own keys into a list.
local function fieldsOfJob(jobKey)
  local fields = redis.pcall("HGETALL", jobKey)
  if #fields == 12 and fields[7] == "timestamp" and fields[9] == "delay" and fields[11] == "priority" then return fields, "1" end
  if fields.err then return nil end
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

local function readMeta()
  return rcall("HMGET", KEYS[9], "opts.maxLenEvents", "paused", "concurrency", "max")
end

local function addDrainedIfEmpty()
  if rcall("LLEN", KEYS[1]) == 0 and rcall("LLEN", KEYS[2]) == 0 and rcall("ZCARD", KEYS[3]) == 0 then
    rcall("XADD", KEYS[4], "*", "event", "drained")
  end
end

-- The token of the next job taken.
local function nextToken()
  return tokensApart and ARGV[6] .. "-" .. #taken / 4 or ARGV[6]
end

-- ---- the official scripts, and what is needed beside them only ----

local officialOnce
local function official()
  if officialOnce then return officialOnce end
  --@call moveToFinished moveToActive moveToDelayed retryJob moveJobFromActiveToWait
  local function workerOpts(token)
    local opts = {token = token, lockDuration = tonumber(ARGV[4])}
    if ARGV[3] ~= "" then opts.name = ARGV[3] end
    if limiterMax then opts.limiter = {max = tonumber(limiterMax), duration = tonumber(limiterMs)} end
    return opts
  end

  -- A fetching script's reply: true when nothing more is to be had.
  local function noteFetched(reply, token)
    if type(reply[1]) == "table" then
      local n = #taken
      taken[n + 1], taken[n + 2], taken[n + 3], taken[n + 4] = reply[1], reply[2], token, ""
      return false
    end
    limitedMs, nextDelayed = reply[3], reply[4]
    return true
  end

  -- An id behind which there is no job: whoever takes it fails. It leaves the queue, and the others are taken.
  local function stepOver(id)
    rcall("LREM", KEYS[2], "-1", id)
    rcall("DEL", base .. id .. ":lock")
    trouble = "'" .. id .. "' stood among the jobs and is none"
  end

  officialOnce = {
    finish = moveToFinishedScript, take = moveToActiveScript, delay = moveToDelayedScript, retry = retryJobScript,
    release = moveJobFromActiveToWaitScript, promote = promoteDelayedJobs,
    isPausedOrMaxed = isQueuePausedOrMaxed, addMarker = addBaseMarkerIfNeeded,
    workerOpts = workerOpts, noteFetched = noteFetched, stepOver = stepOver,
  }
  return officialOnce
end

-- ---- jobs taken ----

-- When the next delayed job is due; nil: there is none.
local function nextDue()
  if noneDelayed then return nil end
  local score = rcall("ZRANGE", KEYS[7], "0", "0", "WITHSCORES")[2]
  return score and score / 0x1000
end

-- The next n ids in the order in which they are due to run, moved to active; nil when an old client's marker stands among them.
local function moveToActiveList(n)
  local ids
  if n == 1 then
    ids = {rcall("RPOPLPUSH", KEYS[1], KEYS[2]) or nil}
    if ids[1] and string.sub(ids[1], 1, 2) == "0:" then
      rcall("LMOVE", KEYS[2], KEYS[1], "LEFT", "RIGHT")
      return nil
    end
    if ids[1] then return ids end
  else
    ids = rcall("RPOP", KEYS[1], n) or {}
    for i = 1, #ids do
      if string.sub(ids[i], 1, 2) == "0:" then
        for k = #ids, 1, -1 do rcall("RPUSH", KEYS[1], ids[k]) end
        return nil
      end
    end
    if #ids > 0 then rcall("LPUSH", KEYS[2], unpack(ids)) end
    if #ids == n then return ids end
  end
  local popped = rcall("ZPOPMIN", KEYS[3], n - #ids)
  for i = 1, #popped, 2 do
    rcall("LPUSH", KEYS[2], popped[i])
    ids[#ids + 1] = popped[i]
  end
  if #ids < n then rcall("DEL", KEYS[10]) end
  return ids
end

-- Takes up to n jobs. True when that is left to the official script: from a queue with a rate limit, or an old client's marker.
local function take(n)
  meta = meta or readMeta()
  if meta[4] or limiterMax then return true end
  if meta[3] then n = math.min(n, tonumber(meta[3]) - rcall("LLEN", KEYS[2])) end
  local mayTake = not meta[2] and n > 0
  local due = nextDue()
  if due and due < now + 1 then
    official().promote(KEYS[7], KEYS[11], KEYS[1], KEYS[3], KEYS[4], base, now, KEYS[10], not mayTake)
    due = nil
  end
  if not mayTake then return false end
  local ids = moveToActiveList(n)
  if not ids then return true end
  local worker, lockMs, events, at = ARGV[3], ARGV[4], KEYS[4], #taken
  for i = 1, #ids do
    local id = ids[i]
    local jobKey = base .. id
    local fields, starts = fieldsOfJob(jobKey)
    if fields then
      local token = nextToken()
      rcall("PSETEX", jobKey .. ":lock", lockMs, token)
      rcall("XADD", events, "*", "event", "active", "jobId", id, "prev", "waiting")
      if worker == "" then
        rcall("HSET", jobKey, "processedOn", now, "ats", starts)
      else
        rcall("HSET", jobKey, "processedOn", now, "ats", starts, "pb", worker)
      end
      taken[at + 1], taken[at + 2], taken[at + 3], taken[at + 4] = fields, id, token, starts
      at = at + 4
    else
      official().stepOver(id)
    end
  end
  if #ids > 0 then rcall("ZADD", KEYS[11], "0", "0") end
  if #ids < n then nextDelayed = due or nextDue() or 0 end
  return false
end

-- ---- what there is to be ended ----

-- Reads ARGV, and of each completion's job what has to be known before anything is written: its lock, whether it is a plain one.
local places, lockKeys, probed = {}, {}, {}
local seen, shapeText, shape
local at, past = FIRST_OPTION, #ARGV
while at <= past do
  local word = ARGV[at]
  if word == "complete" then
    local first = at + 5
    at = first + 4 * ARGV[at + 1]
    for i = first, at - 1, 4 do
      local id, place = ARGV[i], #endings + 1
      local jobKey = base .. id
      local lockKey, attempt = jobKey .. ":lock", false
      if place > 1 then seen = seen or {[endings[1][2]] = true} end
      if not seen or not seen[id] then -- of a job that is ended twice the first ending changes what the second finds
        local n = #places + 1
        places[n], lockKeys[n] = place, lockKey
        probed[2 * n - 1], probed[2 * n] = jobKey .. ":dependencies", jobKey .. ":unsuccessful"
        if shapeText ~= ARGV[i + 3] then
          shapeText = ARGV[i + 3]
          shape = tonumber(shapeText)
        end
        if shape and redis.pcall("HLEN", jobKey) == shape then attempt = "1" end
      end
      if seen then seen[id] = true end
      endings[place] = {word, id, ARGV[i + 1], ARGV[i + 2], jobKey, lockKey, first, attempt}
    end
  elseif word == "limiter" then
    limiterMax, limiterMs = ARGV[at + 1], ARGV[at + 2]
    at = at + 3
  elseif word == "outbox" then
    dataCap, resultCap = ARGV[at + 1], ARGV[at + 2]
    at = at + 3
  elseif word == "proof" then
    proofMs = ARGV[at + 1]
    at = at + 2
  elseif word == "apart" then
    tokensApart = true
    at = at + 1
  else
    local width = ({fail = 5, delay = 6, retry = 5, release = 3})[word]
    endings[#endings + 1] = {unpack(ARGV, at, at + width - 1)}
    if #endings > 1 then seen = seen or {[endings[1][2]] = true} end
    if seen then seen[ARGV[at + 1]] = true end
    at = at + width
  end
end

local nPlain = 0
if #places > 0 then
  local locks = rcall("MGET", unpack(lockKeys))
  local n = 2 * #places
  probed[n + 1], probed[n + 2] = KEYS[5], KEYS[7]
  local there, anyChildren = rcall("EXISTS", unpack(probed)), false
  if there == 0 then
    noneStalled, noneDelayed = true, true
  else
    anyChildren = there > rcall("EXISTS", KEYS[5], KEYS[7])
  end
  for i = 1, #places do
    local e = endings[places[i]]
    local attempt = e[8]
    if locks[i] ~= e[3] or e[3] == "0" or anyChildren and rcall("EXISTS", probed[2 * i - 1], probed[2 * i]) > 0 then
      attempt = false
    elseif not attempt then
      local fields = redis.pcall("HMGET", e[5], "timestamp", "atm", "parentKey", "parent", "deid")
      local made = tonumber(fields[2] or 0)
      if fields[1] and made and not fields[3] and not fields[4] and not fields[5] then
        attempt = made == 0 and "1" or string.format("%d", made + 1)
      end
    end
    e[8] = attempt
    if attempt then nPlain = nPlain + 1 end
  end
end

-- ---- the outbox ----

local outbox
if dataCap then
  --@from outbox.lua putEntry entryCaps lastLogLines putAttempt
  local caps = entryCaps(dataCap, resultCap)

  local function note(failure)
    if failure then trouble = failure end
  end

  outbox = {
    logsOf = function(id) return lastLogLines(base .. id .. ":logs") end,
    -- The end of a job of which these fields were known before it, and these more are known now.
    putEnd = function(id, fields, logs, ...)
      local more = {...}
      for i = 1, #more do fields[#fields + 1] = more[i] end
      note(putEntry(KEYS[16], "end", id, now, fields, caps, logs))
    end,
    putFailure = function(id) note(putAttempt(KEYS[16], base, id, now, caps)) end,
  }
end

-- ---- completions of plain jobs ----

-- Each id out of the active list, as LREM takes it out, the last first: for many in a short list it is written anew. Tells which
-- were there.
local function leaveActive(ids)
  local active, was = KEYS[2], {}
  if #ids < 8 or rcall("LLEN", active) > #ids * 4 then
    for i = 1, #ids do was[ids[i]] = rcall("LREM", active, "-1", ids[i]) > 0 end
    return was
  end
  local leaving, staying, list = {}, {}, rcall("LRANGE", active, "0", "-1")
  for i = 1, #ids do leaving[ids[i]] = true end
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

-- After n more have completed.
local function removeSurplus(count, age, limit, n)
  local completed = KEYS[12]
  local tooMany = count and count > 0 and rcall("ZCARD", completed) > count
  local tooOld = age and rcall("ZCOUNT", completed, "-inf", now - age * 1000) > 0
  if not tooMany and not tooOld then return end
  noneDelayed = false
  --@from moveToFinished batches addJobInTargetList isQueuePausedOrMaxed getJobIdFromKey getJobKeyPrefix removeJobKeys _moveParentToWait
  --@from moveToFinished removeParentDependencyKey removeJob removeJobsByMaxAge removeJobsByMaxCount
  while tooOld and n > 0 do
    removeJobsByMaxAge(now, age, completed, base, limit or 1000)
    n = n - 1
    tooOld = n > 0 and rcall("ZCOUNT", completed, "-inf", now - age * 1000) > 0
  end
  if tooMany then removeJobsByMaxCount(count, completed, base) end
end

local function countCompleted(n)
  local last = rcall("HGET", KEYS[14], "prevTS")
  if not last or math.floor(now / 60000) > math.floor(last / 60000) then
    --@from moveToFinished batches collectMetrics
    collectMetrics(KEYS[14], KEYS[14] .. ":data", ARGV[5], now)
    n = n - 1
  end
  if n > 0 then rcall("HINCRBY", KEYS[14], "count", n == 1 and "1" or n) end
end

local trimmed = false

-- The plain completions from `first` to `last`, which keep the same number of jobs.
local function complete(first, last)
  local group = endings[first][7]
  local count, age = ARGV[group - 3], ARGV[group - 2]
  local ids, keys, members, done = {}, lockKeys, {}, 0
  for place = first, last do ids[place - first + 1] = endings[place][2] end
  if #ids < #lockKeys then
    keys = {}
    for place = first, last do keys[place - first + 1] = endings[place][6] end
  end
  local logged = false
  if outbox then
    local logs = {}
    for i = 1, #ids do logs[i] = base .. ids[i] .. ":logs" end
    logged = rcall("EXISTS", unpack(logs)) > 0
  end
  rcall("DEL", unpack(keys))
  if not noneStalled then rcall("SREM", KEYS[5], unpack(ids)) end
  local was = leaveActive(ids)
  for place = first, last do
    local e = endings[place]
    local id, value, jobKey = e[2], e[4], e[5]
    if was[id] then
      if not trimmed then -- ahead of a run's first event of an end
        trimmed = true
        meta = meta or readMeta()
        if not meta[1] then rcall("HSET", KEYS[9], "opts.maxLenEvents", "10000") end
        rcall("XTRIM", KEYS[4], "MAXLEN", "~", meta[1] or "10000")
      end
      if outbox then
        outbox.putEnd(id, rcall("HGETALL", jobKey), logged and outbox.logsOf(id), "atm", e[8], "returnvalue", value, "finishedOn", now)
      end
      if count ~= "0" then
        rcall("HSET", jobKey, "atm", e[8], "returnvalue", value, "finishedOn", now)
        members[2 * done + 1], members[2 * done + 2] = now, id
      else
        --@from moveToFinished removeJobKeys
        removeJobKeys(jobKey)
      end
      rcall("XADD", KEYS[4], "*", "event", "completed", "jobId", id, "returnvalue", value, "prev", "active")
      codes[place] = 0
      done = done + 1
    else
      codes[place] = -3
    end
  end
  if done == 0 then return end
  if count ~= "0" then
    rcall("ZADD", KEYS[12], unpack(members))
    if age ~= "" or count ~= "" and count ~= "-1" then
      local ok, failure = pcall(removeSurplus, tonumber(count), tonumber(age), tonumber(ARGV[group - 1]), done)
      if not ok then trouble = textOf(failure) end
    end
  end
  if ARGV[5] ~= "" then countCompleted(done) end
  if last == #endings and codes[last] == 0 and (frees or free > 0) then
    drainedIsOpen = true
  else
    addDrainedIfEmpty()
  end
end

-- ---- endings by the official scripts ----

local nothingElse = false -- a fetch has told that no more is to be had
local endOfficially
if nPlain < #endings then
  noneStalled, noneDelayed = false, false

  local function keysAt(...)
    local keys = {}
    for i, position in ipairs({...}) do keys[i] = KEYS[position] or position end
    return keys
  end

  local function finish(id, failed, value, opts, fields, fetch)
    local keys = keysAt(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, failed and 13 or 12, base .. id, failed and 15 or 14, 11)
    return official().finish(keys, {id, now, failed and "failedReason" or "returnvalue", value,
      failed and "failed" or "completed", fetch and "1" or "0", base, opts, fields})
  end

  local ways = {
    complete = function(e, fetch)
      local opts, group = official().workerOpts(e[3]), e[7]
      opts.keepJobs = {count = tonumber(ARGV[group - 3]), age = tonumber(ARGV[group - 2]), limit = tonumber(ARGV[group - 1])}
      opts.attempts = 0
      opts.maxMetricsSize = tonumber(ARGV[5]) or ""
      return finish(e[2], false, e[4], cmsgpack.pack(opts), "", fetch)
    end,
    fail = function(e, fetch)
      return finish(e[2], true, e[3], e[4], e[5], fetch)
    end,
    delay = function(e)
      return official().delay(keysAt(11, 2, 3, 7, base .. e[2], 4, 9, 5, 1, 6, 10),
        {base, now, e[2], e[3], e[4], e[5], e[6], "0", ""})
    end,
    retry = function(e)
      return official().retry(keysAt(2, 1, 8, base .. e[2], 9, 4, 7, 3, 10, 11, 5), {base, now, e[4], e[2], e[3], e[5]})
    end,
    release = function(e)
      local script = official()
      local reply = script.release(keysAt(2, 1, 5, 8, 9, 6, 3, 11, 4), {e[2], e[3], base .. e[2]})
      -- One that goes back among the prioritized wakes nobody there, as others do that wait again.
      if reply >= 0 and rcall("ZSCORE", KEYS[3], e[2]) then script.addMarker(KEYS[11], script.isPausedOrMaxed(KEYS[9], KEYS[2])) end
      return reply
    end,
  }

  -- What is known of a job that is about to end; nil when it is gone.
  local function snapshot(id)
    local fields = rcall("HGETALL", base .. id)
    return #fields > 0 and {fields = fields, logs = outbox.logsOf(id)} or nil
  end

  -- What the outbox is told of an ending that the official script has accepted; `job` is what was known before.
  local record = {
    complete = function(e, job, attempt)
      outbox.putEnd(e[2], job.fields, job.logs, "atm", attempt, "returnvalue", e[4], "finishedOn", now)
    end,
    fail = function(e, job, attempt)
      outbox.putEnd(e[2], job.fields, job.logs, "atm", attempt, "failedReason", e[3], "finishedOn", now, unpack(cmsgpack.unpack(e[5])))
    end,
    delay = function(e)
      if e[5] == "0" then outbox.putFailure(e[2]) end
    end,
    retry = function(e) outbox.putFailure(e[2]) end,
    release = function() end,
  }

  local function attemptOf(job)
    local made = 0
    for i = 1, #job.fields, 2 do
      if job.fields[i] == "atm" then made = tonumber(job.fields[i + 1]) or 0 end
    end
    return string.format("%d", made + 1)
  end

  function endOfficially(place)
    local e, fetch = endings[place], place == #endings and (frees or free > 0)
    local finishes = e[1] == "complete" or e[1] == "fail"
    local known, job = true, nil
    if outbox and finishes then known, job = pcall(snapshot, e[2]) end
    local ok, reply = pcall(ways[e[1]], e, fetch)
    if not ok then
      codes[place] = textOf(reply)
    elseif type(reply) == "number" then
      codes[place] = reply
    else
      codes[place] = 0
      local token = nextToken()
      if type(reply[1]) == "table" then -- held under the token of the ended job, which may be that of who has lost this one
        rcall("SET", base .. reply[2] .. ":lock", token, "PX", ARGV[4])
      end
      nothingElse = official().noteFetched(reply, token)
    end
    if outbox and codes[place] == 0 and known and (job or not finishes) then
      local written, failure = pcall(record[e[1]], e, job, job and attemptOf(job))
      if not written then trouble = textOf(failure) end
    end
  end
end

-- ---- the run ----

local place = 1
while place <= #endings do
  local first, last = endings[place], place
  if first[8] then
    while endings[last + 1] and endings[last + 1][8] and endings[last + 1][7] == first[7] do last = last + 1 end
    local ok, failure = pcall(complete, place, last)
    if not ok then
      trouble = textOf(failure)
      for i = place, last do codes[i] = codes[i] or trouble end
    end
  else
    endOfficially(place)
  end
  place = last + 1
end
if proofMs then
  for i, e in ipairs(endings) do
    if e[1] == "complete" and codes[i] == 0 then rcall("SET", e[5] .. ":ended", e[3], "PX", proofMs) end
  end
end
if frees then
  for i = 1, #codes do
    if type(codes[i]) == "number" and codes[i] >= 0 then free = free + 1 end
  end
end
free = free - #taken / 4
local left = false -- to the official script
if free > 0 and not nothingElse then
  local ok, refused = pcall(take, free)
  if not ok then trouble = textOf(refused) end
  left = ok and refused
end
if left then
  local function takeOne()
    local token = nextToken()
    local ok, reply = pcall(official().take, KEYS, {base, now, cmsgpack.pack(official().workerOpts(token))})
    if ok then return official().noteFetched(reply, token) end
    local id = rcall("LINDEX", KEYS[2], "0") -- the one at which it failed
    if not id or fieldsOfJob(base .. id) then error(reply, 0) end
    official().stepOver(id)
    return false
  end

  local ok, failure = pcall(function()
    for _ = 1, free do
      if takeOne() then return end
    end
  end)
  if not ok then trouble = textOf(failure) end
end
if drainedIsOpen and #taken == 0 and limitedMs == 0 and nextDelayed == 0 and rcall("HEXISTS", KEYS[9], "paused") == 0 then
  addDrainedIfEmpty()
end
return {codes, taken, limitedMs, nextDelayed, trouble, now, ARGV[3]}
