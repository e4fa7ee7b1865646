-- End one execution: close the job (completed, failed, canceled), or give it back to its lane. Fenced: it does
-- nothing unless the execution still holds its lease, so a worker that wakes late cannot harm. A job that has waited for too
-- long (expired) ends here as well, without an execution; its fence is that it still waits, and since when.
--
-- id          of the job
-- lane        of the job
-- outcome     completed | failed | canceled | expired | retry | front
-- event       JSON of the event
-- events      list of JSON texts of those that come before it, left out for none
-- attempt     JSON of this attempt, ended; left out if it is not to count, or there is none
-- result      JSON of the result, if the job ends
-- entry       RQ's entry of the result: list of fields and values; left out if the job does not end, or is canceled
-- delivery    what to leave for the job's webhook; left out for nothing
-- delay_s     seconds until a retry is due
-- ttl_s       seconds to keep job, result, events, attempts and registry entry, if the job ends
-- blob        key of the uploaded audio
-- blob_ttl_s  seconds to keep it from now on, and the sound of a live job, unless the job ends well: then that sound goes
-- execution   id of the execution; this and the next two of one that holds the job
-- worker      RQ worker name
-- lapsed_by   left out by the holder itself; of the reaper, the Unix time by which the lease must have lapsed
-- before      ISO 8601 as RQ writes it; a job that waits expires only if it was enqueued before
--
-- Returns 1, 0 if the fence refused (also after cancel.lua has ended the job, whose lease had lapsed), or -1 if the job was
-- to be given back and is to be canceled: nothing has changed, and the caller ends it as canceled. The very same end, sent
-- again by a worker that lost our answer, is 1 even if the job has gone on since: its event is there.
-- A job that goes on and could not be put into its lane is found on no list by the reaper, which puts it there.

local id, lane, execution, outcome = given.id, given.lane, given.execution, given.outcome

if outcome == 'expired' then
  local enqueued_at = rq.enqueued_at(id)
  if rq.status(id) ~= 'queued' or enqueued_at == '' or enqueued_at >= given.before then
    return 0
  end
  if redis.pcall('LREM', rq.dequeued(lane), 1, id) ~= 1 then  -- first: a slot has taken it as a rule, and a lane may be long
    redis.pcall('LREM', rq.lane(lane), -1, id)
    local need = rq.need(id)
    if need then
      redis.pcall('LREM', rq.apart(lane, need), -1, id)
    end
  end
else
  local lease = lane .. '/' .. id .. '/' .. execution
  local expiry = redis.call('ZSCORE', asrq.leases, lease)
  if not expiry or (given.lapsed_by and tonumber(expiry) > given.lapsed_by) then
    for _, entry in ipairs(redis.pcall('XREVRANGE', asrq.events(id), '+', '-')) do
      if entry[2][2] == given.event then
        return 1
      end
    end
    return 0
  end
  local over = redis.call('EXISTS', asrq.result(id)) == 1
  if not over and (outcome == 'front' or outcome == 'retry') and redis.call('EXISTS', asrq.cancel(id)) == 1 then
    return -1
  end
  redis.call('ZREM', asrq.leases, lease)
  rq.stop(lane, id, execution, given.worker)
  if over then
    redis.call('DEL', asrq.cancel(id))
    return 0
  end
  if not given.attempt then
    redis.call('RPOP', asrq.attempts(id))
  elseif redis.call('LLEN', asrq.attempts(id)) > 0 then
    redis.call('LSET', asrq.attempts(id), -1, given.attempt)
  end
end
for _, event in ipairs(given.events or {}) do
  asrq.tell(id, event)
end
asrq.tell(id, given.event)
redis.pcall('HINCRBY', asrq.stats, outcome, 1)

local uses = asrq.uses(given.blob)  -- who may need the upload, see erase.lua
if outcome == 'completed' then
  redis.pcall('HDEL', uses, id)
elseif outcome ~= 'canceled' then
  redis.call('EXPIRE', given.blob, given.blob_ttl_s)
  redis.call('EXPIRE', uses, given.blob_ttl_s)
  redis.call('EXPIRE', asrq.live(id), given.blob_ttl_s)
end
if outcome == 'completed' or outcome == 'canceled' then
  redis.call('DEL', asrq.live(id))
end

if outcome == 'front' then
  rq.queue(id)
  rq.release(id)
  redis.pcall('LPUSH', rq.lane(lane), id)
  return 1
end
if outcome == 'retry' then
  rq.schedule(id)
  rq.release(id)
  redis.pcall('ZADD', rq.registry('scheduled', lane), from_now(given.delay_s), id)
  return 1
end

local status = ({completed = 'finished', expired = 'failed'})[outcome] or outcome
rq.close(id, status)
redis.pcall('ZADD', rq.registry(status, lane), from_now(given.ttl_s), id)
redis.call('SET', asrq.result(id), given.result, 'EX', given.ttl_s)
redis.call('DEL', asrq.cancel(id))
if given.delivery then
  redis.pcall('ZADD', asrq.webhooks, from_now(0), given.delivery)
end
asrq.settle(id, outcome == 'expired' and 'failed' or outcome, given.ttl_s)
if given.entry then
  redis.call('XADD', rq.results(id), 'MAXLEN', '10', '*', unpack(given.entry))
  redis.call('EXPIRE', rq.results(id), given.ttl_s)
end
if execution then
  rq.heard(id)
end
if outcome == 'completed' then
  redis.call('DEL', asrq.chunks(id))
end
for _, key in ipairs({rq.job(id), asrq.attempts(id), asrq.events(id), asrq.chunks(id)}) do
  redis.call('EXPIRE', key, given.ttl_s)
end
return 1
