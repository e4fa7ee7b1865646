-- Start an execution of a job that a slot has dequeued: the one door between a lane and a worker.
--
-- KEYS[1]   rq:job:<id>                        hash    the job
-- KEYS[2]   rq:queue:asrq-<lane>:intermediate  list    holds the id since the dequeue; removed here
-- KEYS[3]   rq:wip:asrq-<lane>                 zset    RQ's registry of started jobs
-- KEYS[4]   asrq:leases                        zset    receives <lane>/<id>/<execution>, scored by expiry
-- KEYS[5]   asrq:attempts:<id>                 list    receives this attempt
-- KEYS[6]   asrq:events:<id>                   stream  receives `started`
-- KEYS[7]   rq:execution:<id>:<execution>      hash    RQ's execution
-- KEYS[8]   rq:executions:<id>                 zset    RQ's executions of the job
-- KEYS[9]   rq:worker:<worker>:executions      set     RQ's executions of the worker
-- KEYS[10]  asrq:result:<id>                   string  a completed result ends the job again at once
-- KEYS[11]  rq:finished:asrq-<lane>            zset    RQ's registry of finished jobs
-- KEYS[12]  asrq:cancel:<id>                   string  read only
-- ARGV[1]   id
-- ARGV[2]   execution  id of this execution
-- ARGV[3]   lane
-- ARGV[4]   worker     RQ worker name
-- ARGV[5]   lease      seconds after which the lease lapses unless it is renewed
-- ARGV[6]   horizon    seconds after which RQ may forget the execution; leases, not RQ, notice a death
--
-- Returns {verdict, attempts, canceled, attempts_before, now}. verdict is "started" (also for an execution that had started
-- before: a worker that lost our answer asks again); "taken" (another execution holds it, or it is not queued any more); "gone" (no
-- such job); or "done" (its completed result is already there). attempts is the list of JSON entries, this one last.
-- canceled is 1 when a client has asked to cancel. attempts_before counts those that do not count against the limit (a job
-- retried by hand). now is the Unix time as text, s.
-- What all jobs share (lists, registries) is written with pcall: spoilt by somebody, it must not keep a job from its start.

local id = ARGV[1]
local lease = ARGV[3] .. '/' .. id .. '/' .. ARGV[2]

local function started()
  return {'started', redis.call('LRANGE', KEYS[5], 0, -1), redis.call('EXISTS', KEYS[12]),
    tonumber(redis.call('HGET', KEYS[1], 'attempts_before')) or 0, from_now(0)}
end

if redis.call('ZSCORE', KEYS[4], lease) then
  return started()
end
local status = redis.call('HGET', KEYS[1], 'status')
redis.pcall('LREM', KEYS[2], 1, id)
if not status then
  return {'gone', {}, 0, 0, from_now(0)}
end
local taken = status ~= 'queued'
for _, other in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do  -- RQ's own tools queue a job without a look at its lease
  taken = taken or string.find(other, '/' .. id .. '/', 1, true)
end
if taken then
  return {'taken', {}, 0, 0, from_now(0)}
end
local result = redis.call('GET', KEYS[10])
if result then
  local readable, document = pcall(cjson.decode, result)
  if readable and type(document) == 'table' and document.status == 'completed' then
    redis.call('HSET', KEYS[1], 'status', 'finished')
    redis.pcall('ZADD', KEYS[11], from_now(ARGV[6]), id)
    return {'done', {}, 0, 0, from_now(0)}
  end
  redis.call('DEL', KEYS[10])
end

local number = redis.call('LLEN', KEYS[5]) + 1
redis.call('RPUSH', KEYS[5], cjson.encode({number = number, worker = ARGV[4], started_at = now_iso}))
redis.call('PERSIST', KEYS[5])
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', KEYS[6])
redis.call('HSET', KEYS[1], 'status', 'started', 'started_at', now_iso, 'last_heartbeat', now_iso,
  'worker_name', ARGV[4])
redis.call('HDEL', KEYS[1], 'waits_for')
redis.call('HSET', KEYS[7], 'id', ARGV[2], 'job_id', id, 'created_at', from_now(0), 'last_heartbeat', from_now(0),
  'worker_name', ARGV[4])
redis.call('EXPIRE', KEYS[7], ARGV[6])
redis.call('ZADD', KEYS[8], from_now(ARGV[6]), ARGV[2])
redis.call('EXPIRE', KEYS[8], ARGV[6])
redis.pcall('SADD', KEYS[9], id .. ':' .. ARGV[2])
redis.call('EXPIRE', KEYS[9], ARGV[6])
redis.pcall('ZADD', KEYS[3], from_now(ARGV[6]), id .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[4], from_now(ARGV[5]), lease)
redis.call('XADD', KEYS[6], 'MAXLEN', '~', '5000', '*', 'event', string.format(
  '{"type":"started","at":%s,"lane":"%s","attempt":%d,"worker":%s}', from_now(0), ARGV[3], number, cjson.encode(ARGV[4])))
return started()
