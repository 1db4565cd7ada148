-- wrk -s workers.lua URL -- TOKEN QUEUE MAX
-- The connections are workers over HTTP: they complete what was leased, the oldest first, and lease up to MAX more before that runs out. Of large
-- leases only a few are under way at a time.
-- Prints one line of JSON behind wrk's own report: how many jobs were completed.
local headers = { ["Content-Type"] = "application/json" }
local threads, held, first, last, leasing = {}, {}, 1, 0, 0
local many, path, lease, nothing
completed, refused = 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  headers["Authorization"] = "Bearer " .. args[1]
  path = "/api/queues/" .. args[2]
  many = tonumber(args[3]) > 1
  lease = wrk.format("POST", path .. "/lease", headers, '{"workerId":"bench","max":' .. args[3] .. "}")
  nothing = wrk.format("GET", "/livez")
end

local function is_dry()
  return many and first > last and leasing >= 4
end

-- Until leases that are under way have come there is nothing to do; the generator wants a request all the same.
function delay()
  return is_dry() and 20 or 0
end

function request()
  local left = last - first + 1
  if is_dry() then return nothing end
  if left == 0 or (many and left < 200 and leasing < 4) then
    leasing = leasing + 1
    return lease
  end
  local job = held[first]
  held[first], first = nil, first + 1
  return wrk.format("POST", path .. "/jobs/" .. job.id .. "/complete", headers, '{"token":"' .. job.token .. '","returnvalue":null}')
end

function response(status, _, body)
  if status ~= 200 then
    refused = refused + 1
  elseif body:sub(1, 7) == '{"jobs"' then
    leasing = leasing - 1
    for id, token in body:gmatch('{"id":"([^"]+)","queue".-"token":"([^"]+)"') do
      last = last + 1
      held[last] = { id = id, token = token }
    end
  elseif body:find("lockExpiresAt", 1, true) then
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
