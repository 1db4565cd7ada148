-- PART. The outbox: what scripts of ours write down of jobs, for the records.
-- An entry says what is known of a job when something has happened to it: the pairs kind, id, at (ms), and then the fields of the
-- job's hash. Of a name that stands twice the later one counts.
--   end       the job has completed or failed
--   attempt   an attempt has failed and another will follow: what the attempt was, not the job's data
--   added     the job is new; written where its end may be one that leaves nothing behind, and beside the others (outbox:adds), since it
--             has time
--   removed   the job was removed
-- caps: how many bytes data and returnvalue may have. A field that is longer is left out, and dataBytes or returnvalueBytes says how
-- long it is; so are stack traces and progress past a bound of their own.

-- Never fails: a job ends whether or not it can be written down. The failure, if any, else the entry's place.
local function putEntry(outbox, kind, id, at, fields, caps, logs)
  local entry, n = {"kind", kind, "id", id, "at", at}, 6
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local cap = caps[name]
    if cap and #value > cap then
      name, value = name .. "Bytes", #value
    end
    entry[n + 1], entry[n + 2] = name, value
    n = n + 2
  end
  if logs and #logs > 0 then
    entry[n + 1], entry[n + 2] = "logs", cjson.encode(logs)
  end
  local ok, reply = pcall(function() return rcall("XADD", outbox, "*", unpack(entry)) end)
  if ok then return nil, reply end
  return type(reply) == "table" and reply.err or tostring(reply)
end

-- Where the add of a job stands, so that it is found by its id. Ids that Redis has counted stand in order.
local function notePlace(adds, id, place)
  if type(place) == "string" and not string.find(id, "^%d+$") then redis.pcall("HSET", adds .. ":ids", id, place) end
end

local function entryCaps(data, returnvalue)
  return {data = tonumber(data), returnvalue = tonumber(returnvalue), progress = 16384, stacktrace = 16384, failedReason = 16384}
end

-- The last lines of a job's log, as far as there is room for them; none where something else is in its place: nothing that is written
-- down beside a job's end may stop it.
local function lastLogLines(logsKey)
  local lines, kept, room = redis.pcall("LRANGE", logsKey, -50, -1), {}, 16384
  for i = #lines, 1, -1 do
    room = room - #lines[i]
    if room < 0 then break end
    table.insert(kept, 1, lines[i])
  end
  return kept
end

-- The attempt that has just failed of a job that waits again.
local function putAttempt(outbox, base, id, at, caps, reason)
  local names = {"name", "opts", "timestamp", "processedOn", "pb", "atm", "ats", "failedReason"}
  local values, fields = rcall("HMGET", base .. id, unpack(names)), {}
  if reason then values[#names] = reason end
  for i, name in ipairs(names) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  return putEntry(outbox, "attempt", id, at, fields, caps)
end

-- What the outboxes take, by "P:Q:"; text: a line for each queue that has one, "P:Q:", the bytes of data, those of the return value.
local function readCaps(text)
  local caps = {}
  for base, data, returnvalue in string.gmatch(text, "(%S+) (%d+) (%d+)") do caps[base] = entryCaps(data, returnvalue) end
  return caps
end

-- A job that is about to go, of this queue ("P:Q:") or another: into its queue's outbox, unless its end is written there.
local function putRemoved(capsOf, ownBase, at, jobKey)
  local base, id = string.match(jobKey, "^(.*:)([^:]*)$")
  if string.sub(jobKey, 1, #ownBase) == ownBase then base, id = ownBase, string.sub(jobKey, #ownBase + 1) end
  local fields = capsOf[base] and rcall("HGETALL", jobKey) or {}
  if #fields == 0 or rcall("HEXISTS", jobKey, "finishedOn") == 1 then return end
  putEntry(base .. "outbox", "removed", id, at, fields, capsOf[base], lastLogLines(jobKey .. ":logs"))
end
