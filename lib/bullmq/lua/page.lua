-- KEYS: base ...
-- One page of the ids in a list or a sorted set, in the order of getJobs: the newest of a list and the highest score first, or from
-- the other end. It goes on behind an anchor, the last id of the page before, also when the set has changed meanwhile.
-- KEYS[2]  the list or set
-- ARGV[1]  "1": from the other end
-- ARGV[2]  how many
-- ARGV[3]  the anchor's id, "" for the first page
-- ARGV[4]  where the anchor was: its score, or how many stood behind it in the list
-- ARGV[5]  how far the anchor of a list is looked for to both sides
-- Reply: id, place, id, place, …
local rcall = redis.call
local key, ascending, limit, anchor, place = KEYS[2], ARGV[1] == "1", tonumber(ARGV[2]), ARGV[3], ARGV[4]
local page = {}

-- Places count from the tail, the end that jobs are taken from: what is added at the head moves none of them.
local function pageOfList()
  local length = rcall("LLEN", key)
  local function item(at) return rcall("LINDEX", key, -1 - at) end
  local function slice(from, to) -- by places, from <= to; in the list's order, which is that of falling places
    return rcall("LRANGE", key, -1 - to, -1 - from)
  end
  local first = ascending and 0 or length - 1
  if anchor ~= "" then
    local at = tonumber(place)
    local found
    if item(at) == anchor then
      found = at
    else
      local low, high = math.max(0, at - tonumber(ARGV[5])), math.min(length - 1, at + tonumber(ARGV[5]))
      if low <= high then
        for i, id in ipairs(slice(low, high)) do
          if id == anchor then found = high - i + 1 end
        end
      end
      -- Not found, it was taken (with all that stood behind it) or has moved far: rather show some twice than leave one out.
      at = ascending and -1 or math.min(at, length)
    end
    at = found or at
    first = ascending and at + 1 or at - 1
  end
  if first < 0 or first >= length then return end
  local from = ascending and first or math.max(0, first - limit + 1)
  local to = ascending and math.min(length - 1, first + limit - 1) or first
  local ids = slice(from, to)
  local low, high, step = 1, #ids, 1
  if ascending then low, high, step = #ids, 1, -1 end
  for i = low, high, step do
    page[#page + 1] = ids[i]
    page[#page + 1] = tostring(to - i + 1)
  end
end

local function pageOfSet()
  local range = ascending and "ZRANGE" or "ZREVRANGE"
  local rank = anchor == "" and -1 or rcall(ascending and "ZRANK" or "ZREVRANK", key, anchor)
  if rank and (anchor == "" or rcall("ZSCORE", key, anchor) == place) then
    page = rcall(range, key, rank + 1, rank + limit, "WITHSCORES")
  elseif ascending then -- the anchor has gone: again from the first of its score
    page = rcall("ZRANGEBYSCORE", key, place, "+inf", "WITHSCORES", "LIMIT", 0, limit)
  else
    page = rcall("ZREVRANGEBYSCORE", key, place, "-inf", "WITHSCORES", "LIMIT", 0, limit)
  end
end

local kind = rcall("TYPE", key).ok
if kind == "list" then pageOfList() elseif kind == "zset" then pageOfSet() end
return page
