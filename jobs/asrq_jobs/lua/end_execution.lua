-- End one execution: close the job (completed, failed, canceled), or give it back to its lane. Fenced: it does
-- nothing unless the execution still holds its lease, so a worker that wakes late cannot harm.
--
-- KEYS[1]   rq:job:<id>                    hash    the job
-- KEYS[2]   asrq:leases                    zset    the fence
-- KEYS[3]   rq:wip:asrq-<lane>             zset    RQ's registry of started jobs
-- KEYS[4]   rq:execution:<id>:<execution>  hash    RQ's execution; removed
-- KEYS[5]   rq:executions:<id>             zset    RQ's executions of the job
-- KEYS[6]   rq:worker:<worker>:executions  set     RQ's executions of the worker
-- KEYS[7]   asrq:attempts:<id>             list    the attempt is completed or, if it is not to count, removed
-- KEYS[8]   asrq:events:<id>               stream  receives the event
-- KEYS[9]   asrq:result:<id>               string  receives the result, if the job ends; one that is there refuses any other end
-- KEYS[10]  rq:results:<id>                stream  RQ's results; receives an entry, if the job ends
-- KEYS[11]  asrq:chunks:<id>               hash    removed on completion, kept for a retry otherwise
-- KEYS[12]  asrq:cancel:<id>               string  refuses what would give the job back; removed, if the job ends
-- KEYS[13]  asrq:stats                     hash    counters
-- KEYS[14]  asrq:blob:<sha256>            string  kept as long as the job may still need it: renewed unless it ends well
-- KEYS[15]  destination: rq:finished|failed|canceled|scheduled:asrq-<lane> (zset) or rq:queue:asrq-<lane> (list)
-- KEYS[16]  asrq:webhooks                  zset    receives the announcement, due now
-- ARGV[1]   id
-- ARGV[2]   execution
-- ARGV[3]   lane
-- ARGV[4]   outcome    completed | failed | canceled | retry | front
-- ARGV[5]   delay      seconds until a retry is due
-- ARGV[6]   ttl        seconds to keep job, result, events, attempts and registry entry, if the job ends
-- ARGV[7]   attempt    JSON of this attempt, ended; "" if it is not to count
-- ARGV[8]   event      JSON of the event
-- ARGV[9]   result     JSON of the result, if the job ends
-- ARGV[10]  rq_field   "return_value" or "exc_string": what RQ's result entry holds, if the job ends
-- ARGV[11]  rq_value   its value, encoded as RQ does
-- ARGV[12]  worker     RQ worker name
-- ARGV[13]  lapsed_by  "" for the holder itself; for the reaper, the Unix time by which the lease must have lapsed
-- ARGV[14]  blob_ttl   seconds to keep the uploaded audio from now on, unless the job ends well
-- ARGV[15]  announcement  what to leave for the job's webhook; "" for nothing
--
-- Returns 1, 0 if the fence refused (also after cancel.lua has ended the job, whose lease had lapsed), or -1 if the job was
-- to be given back and is to be canceled: nothing has changed, and the caller ends it as canceled. The very same end, sent
-- again by a worker that lost our answer, is 1, whatever has become of the job since: its event is there.
-- What all jobs share (lanes, registries, counters) is written with pcall: spoilt by somebody, it must not cost a job its
-- end. One that goes on and found no place is put there by the reaper, which finds it on no list.

local id, execution, outcome = ARGV[1], ARGV[2], ARGV[4]
local lease = ARGV[3] .. '/' .. id .. '/' .. execution
local expiry = redis.call('ZSCORE', KEYS[2], lease)
if not expiry or (ARGV[13] ~= '' and tonumber(expiry) > tonumber(ARGV[13])) then
  for _, entry in ipairs(redis.pcall('XREVRANGE', KEYS[8], '+', '-')) do
    if entry[2][2] == ARGV[8] then
      return 1
    end
  end
  return 0
end
local over = redis.call('EXISTS', KEYS[9]) == 1
if not over and (outcome == 'front' or outcome == 'retry') and redis.call('EXISTS', KEYS[12]) == 1 then
  return -1
end
redis.call('ZREM', KEYS[2], lease)
redis.pcall('ZREM', KEYS[3], id .. ':' .. execution)
redis.call('DEL', KEYS[4])
redis.call('ZREM', KEYS[5], execution)
redis.pcall('SREM', KEYS[6], id .. ':' .. execution)
if over then
  redis.call('DEL', KEYS[12])
  return 0
end
if ARGV[7] == '' then
  redis.call('RPOP', KEYS[7])
elseif redis.call('LLEN', KEYS[7]) > 0 then
  redis.call('LSET', KEYS[7], -1, ARGV[7])
end
redis.call('XADD', KEYS[8], 'MAXLEN', '~', '5000', '*', 'event', ARGV[8])
redis.pcall('HINCRBY', KEYS[13], outcome, 1)

if outcome ~= 'completed' and outcome ~= 'canceled' then
  redis.call('EXPIRE', KEYS[14], ARGV[14])
end

if outcome == 'front' then
  redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', now_iso, 'worker_name', '')
  redis.pcall('LPUSH', KEYS[15], id)
  return 1
end
if outcome == 'retry' then
  redis.call('HSET', KEYS[1], 'status', 'scheduled', 'worker_name', '')
  redis.pcall('ZADD', KEYS[15], from_now(ARGV[5]), id)
  return 1
end

local rq_status = outcome == 'completed' and 'finished' or outcome
redis.call('HSET', KEYS[1], 'status', rq_status, 'ended_at', now_iso, 'last_heartbeat', now_iso)
redis.pcall('ZADD', KEYS[15], from_now(ARGV[6]), id)
redis.call('SET', KEYS[9], ARGV[9], 'EX', ARGV[6])
redis.call('DEL', KEYS[12])
if ARGV[15] ~= '' then
  redis.pcall('ZADD', KEYS[16], from_now(0), ARGV[15])
end
if outcome ~= 'canceled' then
  redis.call('XADD', KEYS[10], 'MAXLEN', '10', '*', 'type', outcome == 'completed' and '1' or '2',
    'worker_name', ARGV[12], ARGV[10], ARGV[11], 'execution_id', execution)
  redis.call('EXPIRE', KEYS[10], ARGV[6])
end
if outcome == 'completed' then
  redis.call('DEL', KEYS[11])
end
for _, key in ipairs({KEYS[1], KEYS[7], KEYS[8], KEYS[11]}) do
  redis.call('EXPIRE', key, ARGV[6])
end
return 1
