-- wrk -s load.lua URL -- METHOD TOKEN BODY_FILE IDS
-- Sends the same request over and over; with IDS > 0 the "ID" in its path becomes a number from 1 to IDS, another one each time.
-- Prints one line of JSON behind wrk's own report.
local path, ids

function init(args)
  wrk.method = args[1]
  if args[2] ~= "" then wrk.headers["Authorization"] = "Bearer " .. args[2] end
  if args[3] ~= "" then
    wrk.body = assert(io.open(args[3], "rb")):read("*a")
    wrk.headers["Content-Type"] = "application/json"
  end
  path, ids = wrk.path, tonumber(args[4])
  math.randomseed(4711)
  if ids > 0 then
    request = function() return wrk.format(nil, (string.gsub(path, "ID", tostring(math.random(ids))))) end
  end
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests":%d,"seconds":%.6f,"faults":%d,"p50Ms":%.3f,"p99Ms":%.3f}', summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
