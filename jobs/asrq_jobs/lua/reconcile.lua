-- Make the places and the lifetimes of a job agree with its status. Whatever the caller thinks is wrong, this looks
-- again and mends only what is; a job in order is left alone, so any number may call it at any time.
--
-- KEYS[1]   rq:job:<id>                        hash    the job
-- KEYS[2]   rq:queue:asrq-<lane>               list    where a `queued` job belongs, and no other
-- KEYS[3]   rq:queue:asrq-<lane>:intermediate  list    read only: the other place of a `queued` job
-- KEYS[4]   rq:scheduled:asrq-<lane>           zset    where a `scheduled` job belongs
-- KEYS[5]   asrq:leases                        zset    a `started` job has one here
-- KEYS[6]   rq:executions:<id>                 zset    read only: RQ's executions of the job
-- KEYS[7]   asrq:result:<id>                   string  read only
-- KEYS[8]   asrq:events:<id>                   stream
-- KEYS[9]   asrq:attempts:<id>                 list
-- KEYS[10]  asrq:chunks:<id>                   hash
-- KEYS[11]  rq:queues                          set     read only: a list that is not registered there is served by nobody
-- KEYS[12]  rq:queue:asrq-<lane>@<need>        list    the list of those that wait for a certain worker in which the id
--                                                      was seen; the lane if it was in none
-- ARGV[1]   id
-- ARGV[2]   lane
-- ARGV[3]   now        Unix time: a lost retry is due, and a lost lease has lapsed, from now on
-- ARGV[4]   execution  id for the lapsed lease, if RQ knows of no execution
-- ARGV[5]   ttl        seconds to keep what is left of a job that has ended
--
-- A waiting job that is on no list goes to the front of its lane; if it waits for a certain worker, its list is KEYS[2]
-- .. '@' .. its waits_for. A started one without a lease gets one that has lapsed: from there its recovery is that of
-- any job whose worker died. A job that goes on is kept until it ends, what is left of one that has ended expires, and
-- what is left of one that is no more is removed.
-- Returns 1 if something was amiss.

local id, lane = ARGV[1], ARGV[2]
local status = redis.call('HGET', KEYS[1], 'status')
local changed = 0

if status == 'queued' then
  local need = redis.call('HGET', KEYS[1], 'waits_for')
  local other = need and KEYS[2] .. '@' .. need
  local there = other and redis.call('SISMEMBER', KEYS[11], other) == 1 and redis.pcall('LPOS', other, id)
  if type(there) ~= 'number' and not (redis.call('LPOS', KEYS[2], id) or redis.call('LPOS', KEYS[3], id)) then
    redis.call('LPUSH', KEYS[2], id)
    changed = 1
  end
elseif status == 'scheduled' then
  if not redis.call('ZSCORE', KEYS[4], id) then
    redis.call('ZADD', KEYS[4], ARGV[3], id)
    changed = 1
  end
elseif status == 'started' then
  local prefix, leased = lane .. '/' .. id .. '/', false
  for _, lease in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
    leased = leased or string.sub(lease, 1, #prefix) == prefix
  end
  if not leased then
    local execution = redis.call('ZRANGE', KEYS[6], -1, -1)[1] or ARGV[4]
    redis.call('ZADD', KEYS[5], ARGV[3], prefix .. execution)
    changed = 1
  end
end

if status == 'queued' or status == 'scheduled' or status == 'started' then
  for _, key in ipairs({KEYS[1], KEYS[8], KEYS[9]}) do
    changed = math.max(changed, redis.call('PERSIST', key))
  end
  return changed
end

local over = not status or status == 'finished' or status == 'failed' or status == 'canceled' or status == 'stopped'
if not over then
  return 0
end
if redis.call('LREM', KEYS[2], 0, id) + redis.call('LREM', KEYS[12], 0, id) > 0 then
  changed = 1
end
local lost = redis.call('EXISTS', KEYS[1], KEYS[7]) == 0
for _, key in ipairs({KEYS[1], KEYS[8], KEYS[9], KEYS[10]}) do
  if redis.call('TTL', key) == -1 then
    redis.call('EXPIRE', key, lost and 0 or ARGV[5])
    changed = 1
  end
end
return changed
