-- Put a failed or canceled job back into its lane by hand; its attempts stay in its history.
--
-- KEYS[1]  rq:job:<id>                 hash    the job
-- KEYS[2]  rq:queue:asrq-<lane>        list    the lane
-- KEYS[3]  rq:failed:asrq-<lane>       zset    RQ's registry of failed jobs
-- KEYS[4]  rq:canceled:asrq-<lane>     zset    RQ's registry of canceled jobs
-- KEYS[5]  asrq:cancel:<id>            string  an old mark is removed
-- KEYS[6]  asrq:events:<id>            stream  receives the `queued` event; kept until the job ends again
-- KEYS[7]  asrq:result:<id>            string  the old result is removed
-- KEYS[8]  asrq:attempts:<id>          list    kept until the job ends again
-- KEYS[9]  asrq:chunks:<id>            hash    kept until the job ends again
-- ARGV[1]  id
-- ARGV[2]  event      the `queued` event as JSON text
-- ARGV[3]  enqueued   ISO 8601 time; read no more: RQ's enqueued_at is the time of Redis
--
-- The job hash receives attempts_before (a field that RQ ignores): attempts up to now do not count against the
-- limit of the new round.
-- Shared keys (lanes, registries) are written before the job is: one of the wrong type is an error, and the job stays as it
-- was.
-- Its group, if it has one, counts it as open again: asrq:group:<group>, asrq:group:<group>:events.
-- It also reads asrq:leases: a job that an execution holds runs, even if RQ's own tools call it canceled.
-- A job of another lane than that of the keys is missing: it was not there, or not yet again, when its lane was looked for.
-- Returns "queued", "missing", or the status that does not allow a retry ("started" of one that runs).

-- The civil date of a day count since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
local function iso_time(seconds, microseconds)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local s = seconds % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, day,
    math.floor(s / 3600), math.floor(s / 60) % 60, s % 60, microseconds)
end

-- Count a job of a group as open that was counted as ended.
local function reopen(group, id)
  local key = 'asrq:group:' .. group
  local was = redis.call('HGET', key, id)
  if was and was ~= 'open' then
    redis.call('HINCRBY', key, ':' .. was, -1)
    redis.call('HINCRBY', key, ':open', 1)
    redis.call('HSET', key, id, 'open')
    redis.call('PERSIST', key)
    redis.call('PERSIST', key .. ':events')
  end
end

local status, group, origin = unpack(redis.call('HMGET', KEYS[1], 'status', 'group', 'origin'))
if not status then
  return 'missing'
end
local lane = string.match(origin or '', '^asrq%-.+')
if lane and KEYS[2] ~= 'rq:queue:' .. lane then
  return 'missing'
end
if status ~= 'failed' and status ~= 'canceled' and status ~= 'stopped' then
  return status
end
for _, lease in ipairs(redis.call('ZRANGE', 'asrq:leases', 0, -1)) do
  if string.find(lease, '/' .. ARGV[1] .. '/', 1, true) then
    return 'started'
  end
end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('DEL', KEYS[5], KEYS[7])
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', iso_time(tonumber(clock[1]), tonumber(clock[2])), 'ended_at', '', 'started_at', '',
  'worker_name', '', 'attempts_before', redis.call('LLEN', KEYS[8]))
for _, key in ipairs({KEYS[1], KEYS[6], KEYS[8], KEYS[9]}) do
  redis.call('PERSIST', key)
end
redis.call('XADD', KEYS[6], '*', 'event', ARGV[2])
if group then
  pcall(reopen, group, ARGV[1])
end
return 'queued'
