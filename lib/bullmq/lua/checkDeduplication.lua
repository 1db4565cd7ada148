-- KEYS: base de
-- Looks for deduplication keys whose job is gone: each keeps new jobs of its id away for ever.
-- ARGV[1]  "1": delete them
-- ARGV[2…] deduplication ids
-- Reply: for each id "" or "stale-deduplication".
local rcall = redis.call
local base, reply = KEYS[1], {}
for a = 2, #ARGV do
  local key = KEYS[2] .. ":" .. ARGV[a]
  local job = rcall("TYPE", key).ok == "string" and rcall("GET", key)
  local stale = job and rcall("EXISTS", base .. job) == 0
  if stale and ARGV[1] == "1" then rcall("DEL", key, base .. "dn:" .. ARGV[a]) end
  reply[#reply + 1] = stale and "stale-deduplication" or ""
end
return reply
