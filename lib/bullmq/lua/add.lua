-- KEYS: wait paused meta id completed delayed active events marker prioritized pc waiting-children outbox:adds ...
-- Adds jobs to one queue. A job with a parent, a delay, a priority or a deduplication id goes through the official script of its
-- kind, which is then held against what was there before: its reply alone does not tell a new job from a duplicate. A plain
-- job, by far the most frequent, is added here, with the same commands but for those that one run needs only once. What has to
-- be atomic with the add is done here too: the idempotency record, the owner of an existing id, the bound on waiting jobs.
--
-- More KEYS: idempotency records, one for each job that has one.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  how many bytes of a job's data the outbox takes, "" when adds are not written there
-- then, one after the other, either plain jobs without an id or a record that differ in nothing but their time and data:
--   alike, how many, bound on waiting jobs or "0", LPUSH or RPUSH, name, opts as JSON; and for each job: timestamp, data
-- or one job, twelve values:
--   kind (plain, plain-lifo, standard, delayed, prioritized, parent), id or "", org, deduplicated ("1") or "",
--   bound on waiting jobs or "0", "1" if the next record of KEYS is its or "", fingerprint, life of the record in ms,
--   timestamp, data, name (plain) or the official script's packed arguments, opts: JSON (plain) or packed
-- Reply: for each job {outcome, id, state, text}; outcome 1 created, 2 existed, 3 replayed a creation, 4 replayed an
-- existing one, -101 another org's, -102 another fingerprint, -103 full, -104 an error of Redis (text), else the official
-- script's own negative number. A number in its place: the id of a job that was created and waits.
--
-- A record is "fingerprint\noutcome\nstate\nid".
local rcall = redis.call
--@from addStandardJob addBaseMarkerIfNeeded isQueuePausedOrMaxed getOrSetMaxEvents
local FIRST = 3
local FIELDS = 12
local FIELDS_ALIKE = 6
local base, wait, events = ARGV[1], KEYS[1], KEYS[8]
local recorded = ARGV[2] ~= ""
local dataCap = tonumber(ARGV[2])
local lastRecord = 13
local maxEvents
local addedPlain = false
local replies = {}

local function textOf(failure)
  return type(failure) == "table" and failure.err or tostring(failure)
end

-- Making functions is most of what a short run costs: those that few runs need are made by make…, once.
local made = {}
local function once(name, make)
  made[name] = made[name] or make()
  return made[name]
end

local function announce(event, id)
  maxEvents = maxEvents or getOrSetMaxEvents(KEYS[3])
  rcall("XADD", events, "MAXLEN", "~", maxEvents, "*", "event", event, "jobId", id)
end

local function store(id, name, data, opts, timestamp)
  rcall("HSET", base .. id, "name", name, "data", data, "opts", opts, "timestamp", timestamp, "delay", "0", "priority", "0")
  rcall("XADD", events, "*", "event", "added", "jobId", id, "name", name)
end

local function makeOutbox()
  --@from outbox.lua putEntry entryCaps notePlace
  return {caps = entryCaps(ARGV[2], "0"), put = putEntry, notePlace = notePlace}
end

local function record(id, timestamp)
  local outbox = once("outbox", makeOutbox)
  local _, place = outbox.put(KEYS[13], "added", id, timestamp, rcall("HGETALL", base .. id), outbox.caps)
  outbox.notePlace(KEYS[13], id, place)
end

-- The same of a plain job, of which all is known: what is not said is 0, and its timestamp is that of the entry. Never fails either.
local function recordPlain(id, name, data, opts, timestamp)
  local member = "data"
  if #data > dataCap then member, data = "dataBytes", #data end
  return redis.pcall("XADD", KEYS[13], "*", "kind", "added", "id", id, "at", timestamp, "name", name, member, data, "opts", opts)
end

-- How many more jobs may wait.
local function roomUnder(bound)
  if bound == 0 then return math.huge end
  return bound - rcall("LLEN", wait) - rcall("ZCARD", KEYS[10]) - rcall("ZCARD", KEYS[6])
end

-- ---- jobs that are alike: addStandardJob, with what they share done once ----

-- The jobs whose places in ARGV begin at `first`, from number `from` on; ids of those that were stored. Only the last one's event
-- trims the stream. Returns how many it came through, fewer than `n` when one failed, and why.
local function storeAlike(first, from, n, counter, ids)
  local name, opts = ARGV[first - 2], ARGV[first - 1]
  local done = from
  local ok, failure = pcall(function()
    for i = from + 1, n do
      local at, id = first + 2 * i - 2, string.format("%d", counter + i)
      store(id, name, ARGV[at + 1], opts, ARGV[at])
      if i < n then
        rcall("XADD", events, "*", "event", "waiting", "jobId", id)
      else
        announce("waiting", id)
      end
      if recorded then recordPlain(id, name, ARGV[at + 1], opts, ARGV[at]) end
      ids[#ids + 1] = id
      replies[#replies + 1] = counter + i
      done = i
    end
  end)
  return done, not ok and textOf(failure)
end

local function addAlike(first, n, bound, push)
  local fitting = math.max(0, math.min(n, roomUnder(bound)))
  local ids, done, failure = {}, 0, nil
  local counter = fitting > 0 and rcall("INCRBY", KEYS[4], fitting) - fitting
  while done < fitting do
    done, failure = storeAlike(first, done, fitting, counter, ids)
    if failure then
      replies[#replies + 1] = {-104, "", "", failure}
      done = done + 1
    end
  end
  for _ = fitting + 1, n do replies[#replies + 1] = -103 end
  if #ids > 0 then
    rcall(push, wait, unpack(ids))
    addedPlain = true
  end
end

local function addAllAlike(at)
  local n, before = tonumber(ARGV[at + 1]), #replies
  local ok, failure = pcall(addAlike, at + FIELDS_ALIKE, n, tonumber(ARGV[at + 2]), ARGV[at + 3])
  if not ok then
    for i = 1, n do replies[before + i] = {-104, "", "", textOf(failure)} end
  end
  return at + FIELDS_ALIKE + 2 * n
end

-- ---- one job ----

-- addStandardJob without what a plain job has not; the marker is set once, at the end.
local function addPlain(job, existed, push)
  local counter = rcall("INCR", KEYS[4])
  if existed then
    announce("duplicated", job.id)
    return job.id
  end
  local id = job.id == "" and string.format("%d", counter) or job.id
  store(id, job.head, job.data, job.opts, job.timestamp)
  local place = recorded and recordPlain(id, job.head, job.data, job.opts, job.timestamp)
  if place and job.id ~= "" then once("outbox", makeOutbox).notePlace(KEYS[13], id, place) end
  rcall(push, wait, id)
  announce("waiting", id)
  addedPlain = true
  return id
end

local function plain(push)
  return {state = "waiting", plain = true, add = function(job, existed) return addPlain(job, existed, push) end}
end

local function official(script, positions, state)
  return {state = state, add = function(job)
    local keys = {}
    for i, position in ipairs(positions) do keys[i] = KEYS[position] end
    return script(keys, {job.head, job.data, job.opts})
  end}
end

local function makeKinds()
  --@call addStandardJob addDelayedJob addPrioritizedJob addParentJob
  return {
    ["plain"] = plain("LPUSH"),
    ["plain-lifo"] = plain("RPUSH"),
    ["standard"] = official(addStandardJobScript, {1, 2, 3, 4, 5, 6, 7, 8, 9}, "waiting"),
    ["delayed"] = official(addDelayedJobScript, {9, 3, 4, 6, 5, 8}, "delayed"),
    ["prioritized"] = official(addPrioritizedJobScript, {9, 3, 4, 10, 6, 5, 7, 8, 11}, "prioritized"),
    ["parent"] = official(addParentJobScript, {3, 4, 6, 12, 5, 8}, "waiting-children"),
  }
end

local function ownerOf(jobKey)
  local text = rcall("HGET", jobKey, "opts")
  local ok, opts = pcall(cjson.decode, text or "{}")
  local sluice = ok and type(opts) == "table" and opts["sluice"]
  return type(sluice) == "table" and sluice["org"] or "default"
end

-- By the sets and the lock alone: no list is searched.
local function stateOf(id)
  if rcall("ZSCORE", KEYS[5], id) then return "completed" end
  if rcall("HGET", base .. id, "finishedOn") then return "failed" end
  if rcall("ZSCORE", KEYS[6], id) then return "delayed" end
  if rcall("ZSCORE", KEYS[10], id) then return "prioritized" end
  if rcall("ZSCORE", KEYS[12], id) then return "waiting-children" end
  if rcall("EXISTS", base .. id .. ":lock") == 1 then return "active" end
  return "waiting"
end

-- Was the job stored under the id that came back? Only deduplication answers with another job's id.
local function wasStored(job, id)
  if job.deduplicated == "" then return true end
  if job.id ~= "" then return id == job.id and rcall("EXISTS", base .. id) == 1 end
  return id == rcall("GET", KEYS[4])
end

local function add(job)
  local kind = once("kinds", makeKinds)[job.kind]
  local existed = job.id ~= "" and rcall("EXISTS", base .. job.id) == 1
  if existed and ownerOf(base .. job.id) ~= job.org then return {-101} end
  if not existed and roomUnder(tonumber(job.bound)) <= 0 then return {-103} end
  local id = kind.add(job, existed)
  if type(id) == "number" and id < 0 then return {id} end
  id = tostring(id)
  if existed or not wasStored(job, id) then return {2, id, stateOf(id)} end
  if recorded and not kind.plain then record(id, job.timestamp) end
  return {1, id, kind.state}
end

local function replay(job, record)
  local fingerprint, outcome, state, id = string.match(record, "^([^\n]*)\n(%d)\n([^\n]*)\n(.*)$")
  if fingerprint ~= job.fingerprint then return {-102} end
  return {tonumber(outcome) + 2, id, state}
end

local function addOnce(job)
  if job.record == "" then return add(job) end
  lastRecord = lastRecord + 1
  local recordKey = KEYS[lastRecord]
  local record = rcall("GET", recordKey)
  if record then return replay(job, record) end
  local reply = add(job)
  if reply[1] > 0 then
    rcall("SET", recordKey, table.concat({job.fingerprint, reply[1], reply[3], reply[2]}, "\n"), "PX", job.ttl)
  end
  return reply
end

local function addNext(at)
  local job = {
    kind = ARGV[at], id = ARGV[at + 1], org = ARGV[at + 2], deduplicated = ARGV[at + 3], bound = ARGV[at + 4],
    record = ARGV[at + 5], fingerprint = ARGV[at + 6], ttl = ARGV[at + 7], timestamp = ARGV[at + 8], data = ARGV[at + 9],
    head = ARGV[at + 10], opts = ARGV[at + 11],
  }
  local ok, reply = pcall(addOnce, job)
  replies[#replies + 1] = ok and reply or {-104, "", "", textOf(reply)}
  return at + FIELDS
end

local at = FIRST
while at <= #ARGV do
  at = ARGV[at] == "alike" and addAllAlike(at) or addNext(at)
end
if addedPlain then addBaseMarkerIfNeeded(KEYS[9], isQueuePausedOrMaxed(KEYS[3], KEYS[7])) end
return replies
