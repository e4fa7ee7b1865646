-- Start an execution of a job that a slot has dequeued: the only way from a lane to a worker.
--
-- id         of the job
-- execution  id of this execution
-- lane       the one that the job was taken from
-- worker     RQ worker name
-- lease_s    seconds after which the lease lapses unless it is renewed
-- horizon_s  seconds after which RQ may forget the execution; leases, not RQ, notice a death
--
-- Removes the id from those in transit, and writes the job, RQ's execution, the lease, the attempt and the event `started`.
-- A completed result ends the job again at once.
-- Returns {verdict, attempts, canceled, attempts_before, now, kept}. verdict is "started" (also for an execution that had started
-- before: a worker that lost our answer asks again); "taken" (another execution holds it, or it is not queued any more); "gone" (no
-- such job); or "done" (its completed result is already there). attempts is the list of JSON entries, this one last.
-- canceled is 1 when a client has asked to cancel. attempts_before counts those that do not count against the limit (a job
-- retried by hand). now is the Unix time as text, s. kept is 1 when there are finished chunks of earlier attempts.

local id, lane, worker = given.id, given.lane, given.worker
local lease = lane .. '/' .. id .. '/' .. given.execution

local function started()
  return {'started', redis.call('LRANGE', asrq.attempts(id), 0, -1), redis.call('EXISTS', asrq.cancel(id)),
    rq.attempts_before(id), from_now(0), redis.call('EXISTS', asrq.chunks(id))}
end

if redis.call('ZSCORE', asrq.leases, lease) then
  return started()
end
local status = rq.status(id)
redis.pcall('LREM', rq.dequeued(lane), 1, id)
if not status then
  return {'gone', {}, 0, 0, from_now(0), 0}
end
local taken = status ~= 'queued'
for _, other in ipairs(redis.call('ZRANGE', asrq.leases, 0, -1)) do  -- RQ's own tools queue a job without a look at its lease
  taken = taken or string.find(other, '/' .. id .. '/', 1, true)
end
if taken then
  return {'taken', {}, 0, 0, from_now(0), 0}
end
local result = redis.call('GET', asrq.result(id))
if result then
  local readable, document = pcall(cjson.decode, result)
  if readable and type(document) == 'table' and document.status == 'completed' then
    rq.finish(id)
    redis.pcall('ZADD', rq.registry('finished', lane), from_now(given.horizon_s), id)
    return {'done', {}, 0, 0, from_now(0), 0}
  end
  redis.call('DEL', asrq.result(id))
end

local number = redis.call('LLEN', asrq.attempts(id)) + 1
redis.call('RPUSH', asrq.attempts(id), cjson.encode({number = number, worker = worker, started_at = now_iso}))
for _, key in ipairs({asrq.attempts(id), rq.job(id), asrq.events(id)}) do
  redis.call('PERSIST', key)
end
rq.start(lane, id, given.execution, worker, given.horizon_s)
asrq.reopen(id)  -- RQ's own tools put a job back without a look at its group
redis.call('ZADD', asrq.leases, from_now(given.lease_s), lease)
asrq.tell(id, string.format(
  '{"type":"started","at":%s,"lane":"%s","attempt":%d,"worker":%s}', from_now(0), lane, number, cjson.encode(worker)))
return started()
