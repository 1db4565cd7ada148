-- KEYS: stalled wait active stalled-check meta paused marker events repeat outbox
-- Puts stalled jobs back, as BullMQ's workers do, and writes into the outbox that their attempts have come to nothing.
-- ARGV[1..4] those of moveStalledJobsToWait: how often a job may stall, "P:Q:", now in ms, how long nobody looks again
-- ARGV[5]  "" when nothing is written into the outbox
-- Reply: the ids.
--@call moveStalledJobsToWait
--@from outbox.lua putEntry entryCaps putAttempt
local ids = moveStalledJobsToWaitScript(KEYS, ARGV)
if ARGV[5] ~= "" then
  for _, id in ipairs(ids) do
    putAttempt(KEYS[10], ARGV[2], id, ARGV[3], entryCaps(), "STALLED: its worker was not heard of any more")
  end
end
return ids
