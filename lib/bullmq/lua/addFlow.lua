-- KEYS: wait paused meta id completed delayed active events marker prioritized pc waiting-children outbox:adds ...
-- Adds a flow, a tree of jobs over one or several queues, with the official scripts and in the order in which BullMQ's
-- FlowProducer calls them in its transaction. A script of ours, because here everything is looked at before anything is written:
-- a flow that cannot be added as a whole leaves nothing behind, and an idempotency record answers for all of its jobs.
--
-- KEYS are those of the first job's queue; more KEYS: the same thirteen of each other queue, then the idempotency record if any.
-- ARGV[1]  fingerprint, "" without a record
-- ARGV[2]  life of the record in ms
-- ARGV[3]  now in ms
-- then for each job, parents before their children, twelve values:
--   number of its queue (from 1), kind (standard, delayed, prioritized, parent), "P:Q:", id, org, bound on waiting jobs or "0",
--   the parent's queue "P:Q" or "", the parent's id or "", how many bytes of its data the outbox takes or "" when it is not
--   written there, the official script's packed arguments, data, packed opts
-- Reply: {{outcome, id, state, text} of the first job as of add.lua, {the id of each job}}.
--
-- A record is "fingerprint\noutcome\nstate" and, behind a "\n" each, the ids.
--@call addStandardJob addDelayedJob addPrioritizedJob addParentJob releaseParentIfNoPendingDependencies
--@from add.lua ownerOf
--@from outbox.lua putEntry entryCaps notePlace
local FIELDS = 12
local KEYS_OF_A_QUEUE = 13
local positions = {
  ["standard"] = {1, 2, 3, 4, 5, 6, 7, 8, 9},
  ["delayed"] = {9, 3, 4, 6, 5, 8},
  ["prioritized"] = {9, 3, 4, 10, 6, 5, 7, 8, 11},
  ["parent"] = {3, 4, 6, 12, 5, 8},
}
local scripts = {
  ["standard"] = addStandardJobScript,
  ["delayed"] = addDelayedJobScript,
  ["prioritized"] = addPrioritizedJobScript,
  ["parent"] = addParentJobScript,
}

local jobs, ours = {}, {}

local function readJobs()
  for at = 4, #ARGV, FIELDS do
    local job = {
      firstKey = (tonumber(ARGV[at]) - 1) * KEYS_OF_A_QUEUE, kind = ARGV[at + 1], key = ARGV[at + 2] .. ARGV[at + 3],
      id = ARGV[at + 3], org = ARGV[at + 4], bound = tonumber(ARGV[at + 5]), parentQueueKey = ARGV[at + 6],
      parentId = ARGV[at + 7], cap = ARGV[at + 8], packed = ARGV[at + 9], data = ARGV[at + 10], opts = ARGV[at + 11],
    }
    if job.parentId ~= "" then job.parentKey = job.parentQueueKey .. ":" .. job.parentId end
    jobs[#jobs + 1] = job
  end
end

local function keyOf(job, position)
  return KEYS[job.firstKey + position]
end

local function isFull(job)
  return job.bound > 0 and rcall("LLEN", keyOf(job, 1)) + rcall("ZCARD", keyOf(job, 10)) + rcall("ZCARD", keyOf(job, 6)) >= job.bound
end

-- What stands in the way of this job, as add.lua's outcome or an official script's number; nil when nothing does.
local function obstacle(job)
  if job.parentKey and not ours[job.parentKey] and rcall("EXISTS", job.parentKey) == 0 then return -5 end
  if ours[job.key] then return -7 end
  ours[job.key] = true
  if rcall("EXISTS", job.key) == 0 then return isFull(job) and -103 or nil end
  job.existed = true
  if ownerOf(job.key) ~= job.org then return -101 end
  local parentKey = job.parentKey and rcall("HGET", job.key, "parentKey")
  if parentKey and parentKey ~= job.parentKey and rcall("EXISTS", parentKey) == 1 then return -7 end
end

local function firstObstacle()
  for _, job in ipairs(jobs) do
    local code = obstacle(job)
    if code then return code end
  end
end

local function insert(job)
  local keys = {}
  for i, position in ipairs(positions[job.kind]) do keys[i] = keyOf(job, position) end
  local id = tostring(scripts[job.kind](keys, {job.packed, job.data, job.opts}))
  if job.cap ~= "" and not job.existed then
    local _, place = putEntry(keyOf(job, 13), "added", id, ARGV[3], rcall("HGETALL", job.key), entryCaps(job.cap, "0"))
    notePlace(keyOf(job, 13), id, place)
  end
  return id
end

-- A parent whose children had all been completed before needs not wait.
local function releaseParents()
  local seen = {}
  for _, job in ipairs(jobs) do
    if job.parentKey and not seen[job.parentKey] then
      seen[job.parentKey] = true
      releaseParentIfNoPendingDependenciesScript({job.parentKey, job.parentKey .. ":dependencies"},
        {job.parentQueueKey, job.parentId, ARGV[3]})
    end
  end
end

local function stateOf(job)
  if job.kind ~= "parent" then return job.kind == "standard" and "waiting" or job.kind end
  return rcall("ZSCORE", keyOf(job, 12), job.id) and "waiting-children" or "waiting"
end

local function replay(record)
  local parts = {}
  for part in string.gmatch(record .. "\n", "([^\n]*)\n") do parts[#parts + 1] = part end
  if parts[1] ~= ARGV[1] then return {{-102}} end
  local ids = {unpack(parts, 4)}
  return {{tonumber(parts[2]) + 2, ids[1], parts[3]}, ids}
end

local function addFlow()
  local recordKey = ARGV[1] ~= "" and KEYS[#KEYS]
  local record = recordKey and rcall("GET", recordKey)
  if record then return replay(record) end
  readJobs()
  local code = firstObstacle()
  if code then return {{code}} end
  local ids = {}
  for i, job in ipairs(jobs) do ids[i] = insert(job) end
  releaseParents()
  local outcome, state = jobs[1].existed and 2 or 1, stateOf(jobs[1])
  if recordKey then
    rcall("SET", recordKey, table.concat({ARGV[1], outcome, state, unpack(ids)}, "\n"), "PX", ARGV[2])
  end
  return {{outcome, ids[1], state}, ids}
end

local ok, reply = pcall(addFlow)
if not ok then return {{-104, "", "", type(reply) == "table" and reply.err or tostring(reply)}} end
return reply
