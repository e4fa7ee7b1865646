-- Cancel one job: at once if it waits or its worker has died, by a mark and a message while it runs.
--
-- KEYS[1]  rq:job:<id>                 hash    the job
-- KEYS[2]  rq:queue:asrq-<lane>        list    the lane it waits in
-- KEYS[3]  rq:scheduled:asrq-<lane>    zset    retries that wait for their time
-- KEYS[4]  rq:canceled:asrq-<lane>     zset    RQ's registry of canceled jobs
-- KEYS[5]  asrq:cancel:<id>            string  the mark that a worker reads
-- KEYS[6]  asrq:events:<id>            stream  receives the `canceled` event
-- KEYS[7]  asrq:result:<id>            string  receives the result document of a job that ends here
-- KEYS[8]  asrq:stats                  hash    counters
-- KEYS[9]  asrq:attempts:<id>          list    of a job that waited for a retry; expires with the job
-- KEYS[10] asrq:chunks:<id>            hash    likewise
-- ARGV[1]  id
-- ARGV[2]  result    the asrq.result/1 document (status canceled) to store if the job ends here
-- ARGV[3]  event     the `canceled` event as JSON text
-- ARGV[4]  ttl       seconds to keep job, result and events
-- ARGV[5]  expiry    Unix time; read no more: the registry entry lapses with the rest
--
-- Returns "canceled" (no worker has it, and it has ended), "requested" (it runs; its worker has been told), "ended" (it had
-- ended before) or "missing".
-- It also removes asrq:live:<id>, and reads asrq:leases and asrq:canceled. A job whose lease has lapsed ends here; its result is what keeps its
-- execution, should its worker be alive after all, from ending it again, and the mark tells that worker. One that RQ's own
-- tools call canceled while an execution holds it runs. The status of a canceled job keeps it from
-- beginning, wherever its id still is.
-- A job of another lane than that of the keys is missing: it was not there, or not yet again, when its lane was looked for.
-- A job that waits for a certain worker is in the list KEYS[2] .. '@' .. its waits_for.
-- The id of a job that runs may still be in its lane: put back while its slot was slow to begin it.
-- Its group, if it has one, counts it as canceled: asrq:group:<group>, asrq:group:<group>:events, asrq:groups.
-- Shared keys (lanes, registries, counters) are written before the job is: one of the wrong type is an error, and the job goes
-- on as it was. The reaper moves that key away, and puts back an id that was taken from its list.

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

local status, group, origin = unpack(redis.call('HMGET', KEYS[1], 'status', 'group', 'origin'))
if not status then
  return redis.call('EXISTS', KEYS[7]) == 1 and 'ended' or 'missing'
end
local lane = string.match(origin or '', '^asrq%-.+')
if lane and KEYS[2] ~= 'rq:queue:' .. lane then
  return 'missing'
end
local held, live = false, false
local leases, time = redis.call('ZRANGE', 'asrq:leases', 0, -1, 'WITHSCORES'), redis.call('TIME')
local now = time[1] + time[2] / 1e6
for at = 1, #leases, 2 do
  if string.find(leases[at], '/' .. ARGV[1] .. '/', 1, true) then
    held = true
    if tonumber(leases[at + 1]) > now then
      live = true
    end
  end
end
local over = status == 'finished' or status == 'failed' or status == 'canceled' or status == 'stopped'
if over and not (held and redis.call('EXISTS', KEYS[7]) == 0) then
  return 'ended'
end
redis.call('ZREM', KEYS[4], ARGV[1])  -- as it is not there, this only tells whether the registry has the right type
if redis.call('ZREM', KEYS[3], ARGV[1]) ~= 1 then  -- first: it is quick, and lets the rest be written where Redis is full
  redis.call('LREM', KEYS[2], 1, ARGV[1])
  local need = redis.call('HGET', KEYS[1], 'waits_for')
  if need then
    redis.call('LREM', KEYS[2] .. '@' .. need, 1, ARGV[1])
  end
end
local runs = live or (status == 'started' and not held)
if not runs then
  redis.call('HINCRBY', KEYS[8], 'canceled', 1)
end
if runs or held then
  redis.call('SET', KEYS[5], '1', 'EX', ARGV[4])
  redis.call('PUBLISH', 'asrq:control', '{"command":"cancel","id":"' .. ARGV[1] .. '"}')
end
if runs then
  return 'requested'
end
redis.call('HSET', KEYS[1], 'status', 'canceled')
for _, key in ipairs({KEYS[1], KEYS[9], KEYS[10]}) do
  redis.call('EXPIRE', key, ARGV[4])
end
redis.call('ZADD', KEYS[4], now + ARGV[4], ARGV[1])
-- A user that may not write results copies the one that workers keep for this; its id is empty. Redis before 7 cannot be
-- asked: `may` is an error then, which counts as a yes.
local _, may = pcall(redis.acl_check_cmd, 'SET', KEYS[7], ARGV[2])
if may then
  redis.call('SET', KEYS[7], ARGV[2])
else
  redis.call('COPY', 'asrq:canceled', KEYS[7])
end
redis.call('EXPIRE', KEYS[7], ARGV[4])
redis.call('XADD', KEYS[6], '*', 'event', ARGV[3])
redis.call('DEL', 'asrq:live:' .. ARGV[1])
redis.call('EXPIRE', KEYS[6], ARGV[4])
if group then
  pcall(settle, group, ARGV[1], 'canceled', now, ARGV[4])
end
return 'canceled'
