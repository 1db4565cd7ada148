-- KEYS: <set> repeat
-- Removes jobs that stand in one list as remove.lua would one by one, but with one walk along the list for all of them: a removed job's
-- place is marked, and the marks go together, from the nearer end.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  now in ms
-- ARGV[3]  the queues that have an outbox, as of remove.lua
-- ARGV[4]  how many ids stood behind the first of these in the list, and
-- ARGV[5]  behind the last
-- ARGV[6…] ids of one page of the list, in its order
-- Reply: for each removeJob's, or -1 where the job no longer stands in the list.
local rcall = redis.call
--@from outbox.lua putEntry entryCaps lastLogLines readCaps putRemoved
--@from removeJob removeJobKeys
local removeTheKeys, capsOf = removeJobKeys, readCaps(ARGV[3])

-- By this, and nothing else, the official script takes a job away.
local function removeJobKeys(jobKey)
  putRemoved(capsOf, ARGV[1], ARGV[2], jobKey)
  return removeTheKeys(jobKey)
end
--@call removeJob instead removeJobKeys
local SLACK = 200 -- so many may have been taken or removed behind them since the page was read
local list, base = KEYS[1], ARGV[1]
local length = rcall("LLEN", list)
local at = {} -- an id's index from the head, which a parent that is put at the tail meanwhile does not move

local function look(first, last)
  first, last = math.max(0, first), math.min(length - 1, last)
  if first > last then return end
  for i, id in ipairs(rcall("LRANGE", list, first, last)) do at[id] = first + i - 1 end
end

local function find()
  local first, last = length - 1 - tonumber(ARGV[4]), length - 1 - tonumber(ARGV[5])
  look(first - SLACK, last + SLACK)
  for i = 6, #ARGV do
    if not at[ARGV[i]] then -- one is looked for everywhere: where it is, the others are
      local index = rcall("LPOS", list, ARGV[i])
      if index then look(index - (last - first), index + (last - first)) end
      return
    end
  end
end

local marked, lowest, highest = 0, nil, nil
local function mark(index)
  rcall("LSET", list, index, "")
  marked, lowest, highest = marked + 1, math.min(lowest or index, index), math.max(highest or index, index)
  return 1
end

find()
local call, known = rcall, {} -- the ids' indexes; false once it is out of the list
for i = 6, #ARGV do known[ARGV[i]] = at[ARGV[i]] end
-- The official functions take a job out of its list by this. A child of one of them may stand in the same list.
rcall = function(command, key, ...)
  if command ~= "LREM" or (key ~= base .. "wait" and key ~= base .. "paused") then return call(command, key, ...) end
  local _, id = ...
  if known[id] == nil and key ~= list then return call(command, key, ...) end
  if key ~= list or known[id] == false then return 0 end
  local index = known[id] or call("LPOS", list, id)
  known[id] = false
  return index and mark(index) or 0
end

-- One that cannot be removed, as when something else than a job is behind its id, does not hold up the others.
local function remove(id)
  if known[id] == nil then return -1 end
  return removeJobScript({base .. id, KEYS[2]}, {id, "1", base})
end

local replies = {}
for i = 6, #ARGV do
  local ok, reply = pcall(remove, ARGV[i])
  replies[#replies + 1] = ok and reply or {err = type(reply) == "table" and reply.err or tostring(reply)}
end
if marked > 0 then call("LREM", list, highest < length - lowest and marked or -marked, "") end
return replies
