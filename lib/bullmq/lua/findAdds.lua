-- KEYS: outbox:adds outbox:adds:ids
-- Finds entries of adds by the ids of their jobs, however many wait: ids that Redis has counted stand in order, so the stream is halved
-- until the id is found; where the others stand has been noted. What stands in no order, since another program has set the counter back,
-- is not found.
-- ARGV: the ids
-- Reply: for each its entry as of XRANGE, or nil.
local rcall = redis.call
local adds, places = KEYS[1], KEYS[2]
local PLACES = 4096 -- of a millisecond that are told apart; its entries behind that are not found
local SKIPPED = 64  -- entries of other ids that may stand between two counted ones

local function numberOf(entry)
  return tonumber(string.match(entry[2][4] or "", "^%d+$"))
end

local function entryAt(command, from, to)
  return rcall(command, adds, from, to, "COUNT", 1)[1]
end

-- The first counted entry from the place on.
local function countedFrom(place)
  local entry = entryAt("XRANGE", place, "+")
  if not entry or numberOf(entry) then return entry end
  for _, each in ipairs(rcall("XRANGE", adds, place, "+", "COUNT", SKIPPED)) do
    if numberOf(each) then return each end
  end
end

-- A place as a number, and back.
local function indexOf(place)
  local ms, sequence = string.match(place, "^(%d+)-(%d+)$")
  return ms * PLACES + math.min(sequence, PLACES - 1)
end

local function placeOf(index)
  return string.format("%d-%d", math.floor(index / PLACES), index % PLACES)
end

local first, last = entryAt("XRANGE", "-", "+"), entryAt("XREVRANGE", "+", "-")

local function find(number)
  local newest = first and numberOf(last)
  if not first or (newest and number > newest) then return false end
  local low, high = indexOf(first[1]), indexOf(last[1])
  while low <= high do
    local middle = low + math.floor((high - low) / 2)
    local entry = countedFrom(placeOf(middle))
    local found = entry and numberOf(entry)
    if found == number then return entry end
    if found and found < number then
      low = indexOf(entry[1]) + 1
    else
      high = middle - 1
    end
  end
  return false
end

local entries = {}
for i, id in ipairs(ARGV) do
  local number = tonumber(string.match(id, "^[1-9]%d*$")) -- 007 is not 7
  local place = not number and rcall("HGET", places, id)
  entries[i] = number and find(number) or place and entryAt("XRANGE", place, place) or false
end
return entries
