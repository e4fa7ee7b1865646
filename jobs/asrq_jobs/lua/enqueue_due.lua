-- Move a retry whose time has come from the scheduled registry to its lane.
--
-- KEYS[1]  rq:job:<id>               hash    the job
-- KEYS[2]  rq:scheduled:asrq-<lane>  zset    retries that wait for their time
-- KEYS[3]  rq:queue:asrq-<lane>      list    the lane
-- ARGV[1]  id
-- ARGV[2]  now       Unix time; the entry moves only if it is due by then
-- ARGV[3]  now_iso   the same as RQ writes it
--
-- Returns 1 if it moved.

local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not due or tonumber(due) > tonumber(ARGV[2]) then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[1], 'status') ~= 'scheduled' then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', ARGV[3])
redis.pcall('RPUSH', KEYS[3], ARGV[1])  -- where somebody has spoilt the lane, the reaper finds the job on no list
return 1
