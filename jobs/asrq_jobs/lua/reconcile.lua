-- Make the places and the lifetimes of a job agree with its status. It looks again
-- and repairs only what is wrong; a sound job is left alone, so anyone may call this at any time.
--
-- id         of the job
-- lane       of the job
-- need       of the list of those that wait for a certain worker in which the id was seen; left out if it was in none
-- now        Unix time: a lost retry is due, and a lost lease has lapsed, from now on
-- execution  id for the lapsed lease, if RQ knows of no execution
-- ttl_s      seconds to keep what is left of a job that has ended
--
-- A `queued` job belongs into its lane and no other, or into transit, or into the list of what it waits for, if that is
-- registered in rq:queues: else nobody serves it. One that is on no list goes to the front of its lane. A `scheduled` one
-- belongs among the retries. A `started` one without a lease gets one that has lapsed: from there its recovery is that of
-- any job whose worker died. A job that goes on is kept until it ends, what is left of one that has ended expires, and
-- what is left of one that is no more is removed.
-- Returns 1 if something was amiss.

local id, lane = given.id, given.lane
local queue, status = rq.lane(lane), rq.status(id)
local changed = 0

if status == 'queued' then
  local need = rq.need(id)
  local other = need and rq.apart(lane, need)
  local there = other and redis.call('SISMEMBER', rq.queues, other) == 1 and redis.pcall('LPOS', other, id)
  if type(there) ~= 'number' and not (redis.call('LPOS', queue, id) or redis.call('LPOS', rq.dequeued(lane), id)) then
    redis.call('LPUSH', queue, id)
    changed = 1
  end
elseif status == 'scheduled' then
  if not redis.call('ZSCORE', rq.registry('scheduled', lane), id) then
    redis.call('ZADD', rq.registry('scheduled', lane), given.now, id)
    changed = 1
  end
elseif status == 'started' then
  local prefix, leased = lane .. '/' .. id .. '/', false
  for _, lease in ipairs(redis.call('ZRANGE', asrq.leases, 0, -1)) do
    leased = leased or string.sub(lease, 1, #prefix) == prefix
  end
  if not leased then
    local execution = redis.call('ZRANGE', rq.executions(id), -1, -1)[1] or given.execution
    redis.call('ZADD', asrq.leases, given.now, prefix .. execution)
    changed = 1
  end
end

if status == 'queued' or status == 'scheduled' or status == 'started' then
  for _, key in ipairs({rq.job(id), asrq.events(id), asrq.attempts(id)}) do
    changed = math.max(changed, redis.call('PERSIST', key))
  end
  return changed
end

local over = not status or status == 'finished' or status == 'failed' or status == 'canceled' or status == 'stopped'
if not over then
  return 0
end
local seen_in = given.need and rq.apart(lane, given.need) or queue
if redis.call('LREM', queue, 0, id) + redis.call('LREM', seen_in, 0, id) > 0 then
  changed = 1
end
local lost = redis.call('EXISTS', rq.job(id), asrq.result(id)) == 0
for _, key in ipairs({rq.job(id), asrq.events(id), asrq.attempts(id), asrq.chunks(id)}) do
  if redis.call('TTL', key) == -1 then
    redis.call('EXPIRE', key, lost and 0 or given.ttl_s)
    changed = 1
  end
end
return changed
