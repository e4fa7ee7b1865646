-- Put before each script of workers: what it is given, the time, the names of keys, and what RQ keeps of a job.
-- Scripts of clients are complete in their files, so each has a copy of what it needs of this.
--
-- Redis does not undo what a script has written before an error. So scripts of workers write shared keys with pcall where one of
-- the wrong type would leave a job half begun, half ended or on no list. Scripts of clients write such keys first, and fail.

local given = cjson.decode(ARGV[1])  -- by name

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

-- The time is that of Redis, the only clock that all hosts share.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local now_iso = iso_time(tonumber(clock[1]), tonumber(clock[2]))

-- A Unix time as text, s, so many seconds from now.
local function from_now(seconds)
  return string.format('%.6f', now + seconds)
end

-- Our keys: see asrq_jobs/keys.py.
local asrq = {groups = 'asrq:groups', leases = 'asrq:leases', stats = 'asrq:stats', webhooks = 'asrq:webhooks'}
function asrq.attempts(id) return 'asrq:attempts:' .. id end
function asrq.cache(key) return 'asrq:cache:' .. key end
function asrq.cancel(id) return 'asrq:cancel:' .. id end
function asrq.chunks(id) return 'asrq:chunks:' .. id end
function asrq.events(id) return 'asrq:events:' .. id end
function asrq.group(name) return 'asrq:group:' .. name end
function asrq.live(id) return 'asrq:live:' .. id end
function asrq.result(id) return 'asrq:result:' .. id end
function asrq.uses(blob) return 'asrq:uses:' .. string.sub(blob, 11) end  -- of asrq:blob:<sha256>

-- Append an event, JSON text, to those of a job; return its id.
function asrq.tell(id, event)
  return redis.call('XADD', asrq.events(id), 'MAXLEN', '~', '5000', '*', 'event', event)
end

-- RQ's keys. A lane is the queue asrq-<lane>; jobs of it that wait for a certain worker are in lists of their own.
local rq = {queues = 'rq:queues'}
function rq.job(id) return 'rq:job:' .. id end
function rq.lane(lane) return 'rq:queue:asrq-' .. lane end
function rq.apart(lane, need) return rq.lane(lane) .. '@' .. need end
function rq.dequeued(lane) return rq.lane(lane) .. ':intermediate' end
function rq.registry(kind, lane) return 'rq:' .. kind .. ':asrq-' .. lane end
function rq.results(id) return 'rq:results:' .. id end
function rq.executions(id) return 'rq:executions:' .. id end
local function rq_execution(id, execution) return 'rq:execution:' .. id .. ':' .. execution end
local function rq_worker(worker) return 'rq:worker:' .. worker .. ':executions' end

-- Fields of a job's hash. waits_for, attempts_before, cache_key and group are ours, and RQ ignores them.
function rq.status(id) return redis.call('HGET', rq.job(id), 'status') end
function rq.need(id) return redis.call('HGET', rq.job(id), 'waits_for') end
function rq.attempts_before(id) return tonumber(redis.call('HGET', rq.job(id), 'attempts_before')) or 0 end
function rq.group(id) return redis.call('HGET', rq.job(id), 'group') end
function rq.has_run(id) return (redis.call('HGET', rq.job(id), 'started_at') or '') ~= '' end

-- Since when a job has waited, '' if nobody knows.
function rq.enqueued_at(id)
  local found = redis.pcall('HGET', rq.job(id), 'enqueued_at')
  return type(found) == 'string' and found or ''
end

function rq.wait_for(id, need) redis.call('HSET', rq.job(id), 'waits_for', need) end
function rq.cache_as(id, key) redis.call('HSET', rq.job(id), 'cache_key', key) end
function rq.queue(id) redis.call('HSET', rq.job(id), 'status', 'queued', 'enqueued_at', now_iso) end
function rq.schedule(id) redis.call('HSET', rq.job(id), 'status', 'scheduled') end
function rq.finish(id) redis.call('HSET', rq.job(id), 'status', 'finished') end
function rq.close(id, status) redis.call('HSET', rq.job(id), 'status', status, 'ended_at', now_iso) end
function rq.heard(id) redis.call('HSET', rq.job(id), 'last_heartbeat', now_iso) end
function rq.release(id) redis.call('HSET', rq.job(id), 'worker_name', '') end

-- What RQ keeps of a job that runs, for so many seconds.
function rq.start(lane, id, execution, worker, seconds)
  redis.call('HSET', rq.job(id), 'status', 'started', 'started_at', now_iso, 'last_heartbeat', now_iso,
    'worker_name', worker)
  redis.call('HDEL', rq.job(id), 'waits_for')
  local key = rq_execution(id, execution)
  redis.call('HSET', key, 'id', execution, 'job_id', id, 'created_at', from_now(0), 'last_heartbeat', from_now(0),
    'worker_name', worker)
  redis.call('EXPIRE', key, seconds)
  redis.call('ZADD', rq.executions(id), from_now(seconds), execution)
  redis.call('EXPIRE', rq.executions(id), seconds)
  redis.pcall('SADD', rq_worker(worker), id .. ':' .. execution)
  redis.call('EXPIRE', rq_worker(worker), seconds)
  redis.pcall('ZADD', rq.registry('wip', lane), from_now(seconds), id .. ':' .. execution)
end

-- The opposite.
function rq.stop(lane, id, execution, worker)
  redis.pcall('ZREM', rq.registry('wip', lane), id .. ':' .. execution)
  redis.call('DEL', rq_execution(id, execution))
  redis.call('ZREM', rq.executions(id), execution)
  redis.pcall('SREM', rq_worker(worker), id .. ':' .. execution)
end

-- Count a job of a group that has ended, unless it was counted: as completed, failed or canceled. A group is kept as long as
-- a job of it is open or its end is to be told, and then as long as that of its jobs which is kept longest, a day at least.
local function settle(group, id, status, now, ttl_s)
  local key = 'asrq:group:' .. group
  if redis.call('HGET', key, id) ~= 'open' then
    return
  end
  local open = redis.call('HINCRBY', key, ':open', -1)
  redis.call('HINCRBY', key, ':' .. status, 1)
  redis.call('HSET', key, id, status, ':at', string.format('%.6f', now))
  local size, completed, failed, canceled, webhook, till = unpack(redis.call('HMGET', key,
    ':size', ':completed', ':failed', ':canceled', ':webhook', ':until'))
  local ended = completed + failed + canceled >= tonumber(size)
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', '5000', '*', 'event', string.format('{"type":"%s","at":%.6f,' ..
    '"job":"%s","status":"%s","size":%d,"open":%d,"completed":%d,"failed":%d,"canceled":%d}',
    ended and 'ended' or 'progress', now, id, status, size, open, completed, failed, canceled))
  till = math.max(till, now + ttl_s, now + 86400)
  redis.call('HSET', key, ':until', string.format('%d', till))
  if ended and webhook ~= '' then
    redis.call('SADD', 'asrq:groups', group)
  elseif open == 0 then
    redis.call('EXPIRE', key, math.floor(till - now))
    redis.call('EXPIRE', key .. ':events', math.floor(till - now))
  end
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

-- Both for a job by its id, which may be in no group. What is wrong with a group must not cost a job its start or its end.
function asrq.settle(id, status, ttl_s)
  local group = rq.group(id)
  if group then
    pcall(settle, group, id, status, now, ttl_s)
  end
end

function asrq.reopen(id)
  local group = rq.group(id)
  if group then
    pcall(reopen, group, id)
  end
end
