-- KEYS: <job> repeat <set>
-- Removes a job that nobody holds, with its children, and writes those that had not ended into the outboxes of their queues.
-- ARGV[1..3] those of removeJob: id, "1" with children, "P:Q:"
-- ARGV[4]  now in ms
-- ARGV[5]  the queues that have an outbox, a line each: "P:Q:", how many bytes of a job's data it takes, and how many of its return value
-- ARGV[6]  "1": only while it stands in that sorted set
-- Reply: removeJob's, or -3 where it does not stand there.
local rcall = redis.call
--@from outbox.lua putEntry entryCaps lastLogLines readCaps putRemoved
--@from removeJob removeJobKeys
local removeTheKeys, capsOf = removeJobKeys, readCaps(ARGV[5])

-- By this, and nothing else, the official script takes a job away.
local function removeJobKeys(jobKey)
  putRemoved(capsOf, ARGV[3], ARGV[4], jobKey)
  return removeTheKeys(jobKey)
end
--@call removeJob instead removeJobKeys
if ARGV[6] == "1" and not rcall("ZSCORE", KEYS[3], ARGV[1]) then return -3 end
return removeJobScript(KEYS, ARGV)
