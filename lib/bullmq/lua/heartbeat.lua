-- KEYS: stalled
-- Renews the locks of jobs that somebody elsewhere holds, as extendLocks does, each on its own feet, and tells which jobs are to be cancelled.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  life of a lock in ms
-- then for each job: id, token
-- Reply: for each job -1 (its lock is gone or another's), 0, 1 (it is to be cancelled), or the text of an error.
--@call extendLocks
local base = ARGV[1]

-- The wish names the job that it means by the time of its creation.
local function beat(id, token)
  local lost = extendLocksScript(KEYS, {base, cmsgpack.pack({token}), cmsgpack.pack({id}), ARGV[2]})
  if #lost > 0 then return -1 end
  local meant = rcall("GET", base .. id .. ":cancel")
  return meant and meant == rcall("HGET", base .. id, "timestamp") and 1 or 0
end

local replies = {}
for at = 3, #ARGV, 2 do
  local ok, reply = pcall(beat, ARGV[at], ARGV[at + 1])
  replies[#replies + 1] = ok and reply or type(reply) == "table" and reply.err or tostring(reply)
end
return replies
