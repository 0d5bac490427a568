-- What wrk sends, and what it checks. Arguments: METHOD BODY_FILE STATUS REPLY_FILE "Name: value" …
-- With a reply, every answer must have that status and that body. An empty reply file switches this off: then wrk counts
-- each status above 399, and compares no bodies. wrk prints its figures as one line of JSON (ceiling_tools.py).

local threads = {}

local function read(file)
  local content = io.open(file, "rb"):read("*a")
  return #content > 0 and content or nil
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local status, reply = tonumber(args[3]), read(args[4])
  wrk.method, wrk.body = args[1], read(args[2])
  for n = 5, #args do
    local name, value = args[n]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  if reply then
    wrong = 0
    function response(code, _, body)
      if code ~= status or body ~= reply then wrong = wrong + 1 end
    end
  end
end

function done(summary, latency, requests)
  local errors, counts = {}, summary.errors
  for _, thread in ipairs(threads) do
    counts.status = thread:get("wrong") or counts.status
  end
  for name, count in pairs(counts) do
    if count > 0 then
      errors[#errors + 1] = string.format('"%s": %d', name == "status" and "status or body" or name, count)
    end
  end
  print(string.format(
    '{"seconds": %.6f, "requests": %d, "bytes": %d, "errors": {%s}, "latency": {"p50": %.3f, "p95": %.3f, ' ..
    '"p99": %.3f, "p99.9": %.3f, "max": %.3f, "mean": %.3f}}',
    summary.duration / 1e6, summary.requests - counts.status, summary.bytes, table.concat(errors, ", "),
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, latency.mean / 1e3))
end
