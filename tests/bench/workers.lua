-- wrk -s workers.lua URL -- TOKEN QUEUE MAX [together]
-- The connections are workers over HTTP: they complete what was leased, the oldest first, and lease up to MAX more before that runs out. Of large
-- leases only a few are under way at a time. "together": the jobs of a lease are completed by one request.
-- Prints one line of JSON behind wrk's own report: how many jobs were completed.
local headers = { ["Content-Type"] = "application/json" }
local threads, held, first, last, leasing = {}, {}, 1, 0, 0
local many, together, path, lease, nothing
completed, refused = 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  headers["Authorization"] = "Bearer " .. args[1]
  path = "/api/queues/" .. args[2]
  many, together = tonumber(args[3]) > 1, args[4] == "together"
  lease = wrk.format("POST", path .. "/lease", headers, '{"workerId":"bench","max":' .. args[3] .. "}")
  nothing = wrk.format("GET", "/livez")
end

local function is_dry()
  return many and not together and first > last and leasing >= 4
end

-- Until leases that are under way have come there is nothing to do; the generator wants a request all the same.
function delay()
  return is_dry() and 20 or 0
end

local function take()
  local oldest = held[first]
  held[first], first = nil, first + 1
  return oldest
end

function request()
  if together then
    return first > last and lease or wrk.format("POST", path .. "/finish", headers, '{"jobs":[' .. take() .. "]}")
  end
  local left = last - first + 1
  if is_dry() then return nothing end
  if left == 0 or (many and left < 200 and leasing < 4) then
    leasing = leasing + 1
    return lease
  end
  local job = take()
  return wrk.format("POST", path .. "/jobs/" .. job.id .. "/complete", headers, '{"token":"' .. job.token .. '","returnvalue":null}')
end

-- What was leased: jobs, or the ends of all as one text.
local function hold(body)
  local ends = {}
  for id, token in body:gmatch('{"id":"([^"]+)","queue".-"token":"([^"]+)"') do
    if together then
      ends[#ends + 1] = '{"id":"' .. id .. '","token":"' .. token .. '","returnvalue":null}'
    else
      last = last + 1
      held[last] = { id = id, token = token }
    end
  end
  if #ends > 0 then
    last = last + 1
    held[last] = table.concat(ends, ",")
  end
end

function response(status, _, body)
  if status ~= 200 then
    refused = refused + 1
  elseif body:sub(1, 7) == '{"jobs"' then
    leasing = leasing - 1
    hold(body)
  elseif body:find("lockExpiresAt", 1, true) then
    completed = completed + select(2, body:gsub('"state":"completed"', ""))
    refused = refused + select(2, body:gsub('"problem"', ""))
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
