-- KEYS: <job> events <finished> wait meta active marker prioritized pc
-- Puts a finished job back to wait as the official client's Job.retry does, with other data where some is given: nothing is changed
-- unless the job is in that state.
-- ARGV[1]  its id
-- ARGV[2]  "failed" or "completed"
-- ARGV[3]  "1": attempts are counted anew
-- ARGV[4]  "1": there is other data
-- ARGV[5]  the data, JSON
-- Reply: as reprocessJob's.
--@call reprocessJob
if rcall("EXISTS", KEYS[1]) == 1 and not rcall("ZSCORE", KEYS[3], ARGV[1]) then return -3 end
local ok, opts = pcall(cjson.decode, rcall("HGET", KEYS[1], "opts") or "{}")
local push = ok and type(opts) == "table" and opts.lifo == true and "RPUSH" or "LPUSH"
if ARGV[4] == "1" and rcall("EXISTS", KEYS[1]) == 1 then rcall("HSET", KEYS[1], "data", ARGV[5]) end
local result = ARGV[2] == "failed" and "failedReason" or "returnvalue"
local reply = reprocessJobScript(KEYS, {ARGV[1], push, result, ARGV[2], ARGV[3], ARGV[3]})
if reply == 1 then rcall("DEL", KEYS[1] .. ":cancel") end -- who wished it to end did not mean this start
return reply
