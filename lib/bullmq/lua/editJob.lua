-- KEYS: <job> wait paused meta prioritized active pc marker delayed events completed failed
-- Changes a job's priority, delay and data as the official client does one by one; all of it or nothing.
-- ARGV[1]  "P:Q:"
-- ARGV[2]  its id
-- ARGV[3]  now in ms
-- ARGV[4]  the priority, "" none
-- ARGV[5]  the delay in ms, "" none
-- ARGV[6]  "1": there is other data
-- ARGV[7]  the data, JSON
-- Reply: 0, -1 no such job, -2 somebody holds it, -3 it has ended (priority), -4 it is not delayed (delay).
--@call changePriority changeDelay updateData
local job, id = KEYS[1], ARGV[2]
if rcall("HEXISTS", job, "timestamp") == 0 then return -1 end
if rcall("EXISTS", job .. ":lock") == 1 then return -2 end
if ARGV[4] ~= "" and (rcall("ZSCORE", KEYS[11], id) or rcall("ZSCORE", KEYS[12], id)) then return -3 end
if ARGV[5] ~= "" and not rcall("ZSCORE", KEYS[9], id) then return -4 end
if ARGV[6] == "1" then updateDataScript({job}, {ARGV[7]}) end
if ARGV[4] ~= "" then
  changePriorityScript({KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]}, {ARGV[4], ARGV[1], id, "0"})
end
if ARGV[5] ~= "" then changeDelayScript({KEYS[9], KEYS[4], KEYS[8], KEYS[10]}, {ARGV[5], ARGV[3], id, job}) end
return 0
