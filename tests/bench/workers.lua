-- wrk -s workers.lua URL -- TOKEN QUEUE MAX
-- The connections are workers over HTTP: each completes a job that was leased, or leases up to MAX more when none is left. Of large leases only
-- a few are under way at a time, as with workers that hold what they lease: the others wait for what those bring.
-- Prints one line of JSON behind wrk's own report: how many jobs were completed.
local headers = { ["Content-Type"] = "application/json" }
local threads, held, leasing, at_once, path, lease = {}, {}, 0, 0, nil, nil
completed, refused = 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  headers["Authorization"] = "Bearer " .. args[1]
  path = "/api/queues/" .. args[2]
  at_once = tonumber(args[3]) > 1 and 4 or 1000
  lease = wrk.format("POST", path .. "/lease", headers, '{"workerId":"bench","max":' .. args[3] .. "}")
end

function delay()
  return (#held == 0 and leasing >= at_once) and 1 or 0
end

function request()
  local job = table.remove(held)
  if not job then
    leasing = leasing + 1
    return lease
  end
  return wrk.format("POST", path .. "/jobs/" .. job.id .. "/complete", headers, '{"token":"' .. job.token .. '","returnvalue":null}')
end

function response(status, _, body)
  if status ~= 200 then
    refused = refused + 1
  elseif body:sub(1, 7) == '{"jobs"' then
    leasing = leasing - 1
    for id, token in body:gmatch('{"id":"([^"]+)","queue".-"token":"([^"]+)"') do table.insert(held, { id = id, token = token }) end
  else
    completed = completed + 1
  end
end

function done(summary, latency)
  local jobs, faults, e = 0, 0, summary.errors
  for _, thread in ipairs(threads) do
    jobs, faults = jobs + thread:get("completed"), faults + thread:get("refused")
  end
  print(string.format('{"requests":%d,"seconds":%.6f,"faults":%d,"p50Ms":%.3f,"p99Ms":%.3f}', jobs, summary.duration / 1e6,
    faults + e.connect + e.read + e.write + e.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
