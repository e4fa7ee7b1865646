-- Erase one job, whatever its state: all that is stored of it, and its upload unless another job may still need that. A
-- worker that runs it has lost its lease, and with it the right to write anything of it.
--
-- KEYS[1]   rq:job:<id>                        hash    the job
-- KEYS[2]   rq:queue:asrq-<lane>               list    the lane it may wait in
-- KEYS[3]   rq:queue:asrq-<lane>:intermediate  list    ids between dequeue and start
-- KEYS[4]   rq:wip:asrq-<lane>                 zset    RQ's registry of started jobs
-- KEYS[5]   rq:scheduled:asrq-<lane>           zset    retries that wait for their time
-- KEYS[6]   rq:finished:asrq-<lane>            zset    RQ's registry of finished jobs
-- KEYS[7]   rq:failed:asrq-<lane>              zset    RQ's registry of failed jobs
-- KEYS[8]   rq:canceled:asrq-<lane>            zset    RQ's registry of canceled jobs
-- KEYS[9]   asrq:leases                        zset    the job's leases are removed
-- KEYS[10]  asrq:result:<id>                   string
-- KEYS[11]  asrq:events:<id>                   stream
-- KEYS[12]  asrq:attempts:<id>                 list
-- KEYS[13]  asrq:chunks:<id>                   hash
-- KEYS[14]  asrq:cancel:<id>                   string
-- KEYS[15]  rq:results:<id>                    stream  RQ's results
-- KEYS[16]  rq:executions:<id>                 zset    RQ's executions of the job
-- ARGV[1]   id
--
-- The sound of a live job, asrq:live:<id>, goes as well.
-- The upload is asrq:blob:<sha256>, by the job's meta; asrq:uses:<sha256> names the jobs that may need it, of which those
-- do that are there, name it, and have not finished. The entry asrq:cache:<key>, by the job's cache_key, is removed if it
-- names this job. A job that waits for a certain worker is in the list KEYS[2] .. '@' .. its waits_for.
-- Its group, if it has one and the job had not ended, counts it as canceled: asrq:group:<group>, asrq:group:<group>:events,
-- asrq:groups.
-- Shared keys (lanes, registries) are written before the job is: one of the wrong type is an error, and the job is there to be
-- erased again, once the reaper has moved that key away.
-- A job of another lane than that of the keys is missing: it was not there, or not yet again, when its lane was looked for.
-- Returns "erased", or "missing" if nothing was there.

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

local id = ARGV[1]
local status, meta, need, worker, cached, group, origin = unpack(redis.call('HMGET', KEYS[1],
  'status', 'meta', 'waits_for', 'worker_name', 'cache_key', 'group', 'origin'))
local lane = string.match(origin or '', '^asrq%-.+')
if lane and KEYS[2] ~= 'rq:queue:' .. lane then
  return 'missing'
end
local sha256 = string.match(meta or '', '"blob":"(%x+)"')
local uses, used = 'asrq:uses:' .. (sha256 or ''), false
for _, other in ipairs(sha256 and redis.call('HKEYS', uses) or {}) do
  if other ~= id then
    local found = redis.call('HMGET', 'rq:job:' .. other, 'status', 'meta')
    used = found[1] and found[1] ~= 'finished' and string.find(found[2] or '', sha256, 1, true)
    if used then
      break
    end
    redis.call('HDEL', uses, other)
  end
end

local found, leases = 0, redis.call('ZRANGE', KEYS[9], 0, -1)
for at = 5, 8 do
  found = found + redis.call('ZREM', KEYS[at], id)
end
if status == 'queued' or status == 'started' then  -- one that runs may be in its lane, too: put back as it was begun
  redis.call('LREM', KEYS[2], 0, id)
  redis.call('LREM', KEYS[3], 0, id)
  if need then
    redis.call('LREM', KEYS[2] .. '@' .. need, 0, id)
  end
end
for _, lease in ipairs(leases) do
  if string.find(lease, '/' .. id .. '/', 1, true) then
    local execution = id .. ':' .. string.match(lease, '[^/]*$')
    redis.call('ZREM', KEYS[4], execution)
    redis.call('SREM', 'rq:worker:' .. (worker or '') .. ':executions', execution)
    redis.call('ZREM', KEYS[9], lease)
    redis.call('DEL', 'rq:execution:' .. execution)
    found = found + 1
  end
end
found = found + redis.call('DEL', KEYS[1], unpack(KEYS, 10))
redis.call('DEL', 'asrq:live:' .. id)  -- on its own: a user's rights to this key are other ones
local entry = cached and redis.call('GET', 'asrq:cache:' .. cached)
if entry and string.find(entry, '/' .. id .. '/', 1, true) then
  redis.call('DEL', 'asrq:cache:' .. cached)
end
if sha256 and used then
  redis.call('HDEL', uses, id)
elseif sha256 then
  redis.call('DEL', 'asrq:blob:' .. sha256, uses)
end
if group then
  local time = redis.call('TIME')
  pcall(settle, group, id, 'canceled', time[1] + time[2] / 1e6, 0)
end
if found == 0 then
  return 'missing'
end
redis.call('PUBLISH', 'asrq:control', '{"command":"cancel","id":"' .. id .. '"}')
return 'erased'
