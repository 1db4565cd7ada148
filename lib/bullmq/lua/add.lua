-- KEYS: wait paused meta id completed delayed active events marker prioritized pc waiting-children ...
-- Adds jobs to one queue. Each job goes through the official script of its kind, which is then held against what was
-- there before: its reply alone does not tell a new job from a duplicate. What has to be atomic with the add is done here too:
-- the idempotency record, the owner of an existing id, and the bound on waiting jobs.
--
-- More KEYS: idempotency records, one for each job that has one.
-- ARGV[1]  "P:Q:"
-- then for each job, eleven values:
--   kind (standard, delayed, prioritized, parent), id or "", org, deduplicated ("1") or "",
--   bound on waiting jobs or "0", position of its record in KEYS or "0", fingerprint, life of the record in ms,
--   the official script's packed arguments, data, packed opts
-- Reply: for each job {outcome, id, state, text}; outcome 1 created, 2 existed, 3 replayed a creation, 4 replayed an
-- existing one, -101 another org's, -102 another fingerprint, -103 full, -104 an error of Redis (text), else the official
-- script's own negative number.
--
-- A record is "fingerprint\noutcome\nstate\nid".
--@call addStandardJob
--@call addDelayedJob
--@call addPrioritizedJob
--@call addParentJob
local FIELDS = 11
local base = ARGV[1]

local kinds = {
  standard = {add = addStandardJob, keys = {1, 2, 3, 4, 5, 6, 7, 8, 9}, state = "waiting"},
  delayed = {add = addDelayedJob, keys = {9, 3, 4, 6, 5, 8}, state = "delayed"},
  prioritized = {add = addPrioritizedJob, keys = {9, 3, 4, 10, 6, 5, 7, 8, 11}, state = "prioritized"},
  parent = {add = addParentJob, keys = {3, 4, 6, 12, 5, 8}, state = "waiting-children"},
}

local function ownerOf(jobKey)
  local text = redis.call("HGET", jobKey, "opts")
  local ok, opts = pcall(cjson.decode, text or "{}")
  local sluice = ok and type(opts) == "table" and opts["sluice"]
  return type(sluice) == "table" and sluice["org"] or "default"
end

-- By the sets and the lock alone: no list is searched.
local function stateOf(id)
  if redis.call("ZSCORE", KEYS[5], id) then return "completed" end
  if redis.call("HGET", base .. id, "finishedOn") then return "failed" end
  if redis.call("ZSCORE", KEYS[6], id) then return "delayed" end
  if redis.call("ZSCORE", KEYS[10], id) then return "prioritized" end
  if redis.call("ZSCORE", KEYS[12], id) then return "waiting-children" end
  if redis.call("EXISTS", base .. id .. ":lock") == 1 then return "active" end
  return "waiting"
end

local function isFull(bound)
  return bound > 0 and
    redis.call("LLEN", KEYS[1]) + redis.call("ZCARD", KEYS[10]) + redis.call("ZCARD", KEYS[6]) >= bound
end

-- Was the job stored under the id that came back? Only deduplication answers with another job's id.
local function wasStored(job, id)
  if job.deduplicated == "" then return true end
  if job.id ~= "" then return id == job.id and redis.call("EXISTS", base .. id) == 1 end
  return id == redis.call("GET", KEYS[4])
end

local function callOfficial(job)
  local kind = kinds[job.kind]
  local keys = {}
  for i, position in ipairs(kind.keys) do keys[i] = KEYS[position] end
  return kind.add(keys, {job.packed, job.data, job.opts})
end

local function add(job)
  local existed = job.id ~= "" and redis.call("EXISTS", base .. job.id) == 1
  if existed and ownerOf(base .. job.id) ~= job.org then return {-101} end
  if not existed and isFull(tonumber(job.bound)) then return {-103} end
  local id = callOfficial(job)
  if type(id) == "number" and id < 0 then return {id} end
  id = tostring(id)
  if existed or not wasStored(job, id) then return {2, id, stateOf(id)} end
  return {1, id, kinds[job.kind].state}
end

local function replay(job, record)
  local fingerprint, outcome, state, id = string.match(record, "^([^\n]*)\n(%d)\n([^\n]*)\n(.*)$")
  if fingerprint ~= job.fingerprint then return {-102} end
  return {tonumber(outcome) + 2, id, state}
end

local function addOnce(job)
  if job.record == "0" then return add(job) end
  local recordKey = KEYS[tonumber(job.record)]
  local record = redis.call("GET", recordKey)
  if record then return replay(job, record) end
  local reply = add(job)
  if reply[1] > 0 then
    redis.call("SET", recordKey, table.concat({job.fingerprint, reply[1], reply[3], reply[2]}, "\n"), "PX", job.ttl)
  end
  return reply
end

local replies = {}
for at = 2, #ARGV, FIELDS do
  local job = {
    kind = ARGV[at], id = ARGV[at + 1], org = ARGV[at + 2], deduplicated = ARGV[at + 3], bound = ARGV[at + 4],
    record = ARGV[at + 5], fingerprint = ARGV[at + 6], ttl = ARGV[at + 7], packed = ARGV[at + 8], data = ARGV[at + 9],
    opts = ARGV[at + 10],
  }
  local ok, reply = pcall(addOnce, job)
  if not ok then reply = {-104, "", "", type(reply) == "table" and reply.err or tostring(reply)} end
  replies[#replies + 1] = reply
end
return replies
