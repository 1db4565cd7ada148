-- KEYS: <job> repeat <job>:logs outbox
-- Removes a job that nobody holds, with its children, and writes that into the outbox.
-- ARGV[1..3] those of removeJob: id, "1" with children, "P:Q:"
-- ARGV[4]  now in ms
-- ARGV[5]  how many bytes of a job's data the outbox takes, "" when nothing is written there, and
-- ARGV[6]  how many of its return value
-- Reply: removeJob's.
--@call removeJob
--@from outbox.lua putEntry entryCaps lastLogLines
local recorded = ARGV[5] ~= ""
local fields = recorded and rcall("HGETALL", KEYS[1]) or {}
local logs = recorded and lastLogLines(KEYS[3])
local reply = removeJobScript(KEYS, ARGV)
if reply == 1 and #fields > 0 then putEntry(KEYS[4], "removed", ARGV[1], ARGV[4], fields, entryCaps(ARGV[5], ARGV[6]), logs) end
return reply
