-- KEYS: active stalled
-- After an outage: takes a job's lock again when the job still stands in active and nobody else holds its lock.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  life of the lock in ms
-- then for each job: id, token
-- Reply: for each job 1 (the lock is ours) or 0.
local replies = {}
for at = 3, #ARGV, 2 do
  local id, token = ARGV[at], ARGV[at + 1]
  local lockKey = ARGV[1] .. id .. ":lock"
  local holder = redis.call("GET", lockKey)
  local ours = (not holder or holder == token) and redis.call("LPOS", KEYS[1], id)
  if ours then
    redis.call("SET", lockKey, token, "PX", ARGV[2])
    redis.call("SREM", KEYS[2], id)
  end
  replies[#replies + 1] = ours and 1 or 0
end
return replies
