-- KEYS: outbox:adds outbox:adds:ids
-- Takes adds off that have been written.
-- ARGV[1]  the place up to which
-- then, of those whose places have been noted, id and place: a job that came again under its id keeps its own.
local rcall = redis.call
local adds, places = KEYS[1], KEYS[2]

rcall("XTRIM", adds, "MINID", ARGV[1])
for i = 2, #ARGV, 2 do
  if rcall("HGET", places, ARGV[i]) == ARGV[i + 1] then rcall("HDEL", places, ARGV[i]) end
end
if rcall("XLEN", adds) == 0 then rcall("DEL", places) end
