-- End a job that has waited in its lane for longer than it may: it fails with the code `expired`.
--
-- KEYS[1]   rq:job:<id>                        hash    the job
-- KEYS[2]   rq:queue:asrq-<lane>               list    the id is removed
-- KEYS[3]   rq:queue:asrq-<lane>:intermediate  list    the id is removed
-- KEYS[4]   rq:failed:asrq-<lane>              zset    RQ's registry of failed jobs
-- KEYS[5]   asrq:result:<id>                   string  receives the result
-- KEYS[6]   rq:results:<id>                    stream  RQ's results; receives an entry
-- KEYS[7]   asrq:events:<id>                   stream  receives the event
-- KEYS[8]   asrq:attempts:<id>                 list    expires with the job
-- KEYS[9]   asrq:chunks:<id>                   hash    kept for a retry by hand
-- KEYS[10]  asrq:cancel:<id>                   string  a mark that came too late is removed
-- KEYS[11]  asrq:stats                         hash    counters
-- KEYS[12]  asrq:blob:<sha256>                 string  kept for a retry by hand
-- KEYS[13]  asrq:webhooks                      zset    receives the announcement, due now
-- ARGV[1]   id
-- ARGV[2]   since    ISO 8601 as RQ writes it; the job expires only if it was enqueued before
-- ARGV[3]   now      the same, for RQ's ended_at
-- ARGV[4]   result   JSON of the result
-- ARGV[5]   event    JSON of the event
-- ARGV[6]   exc      what RQ's result entry holds, encoded as RQ does
-- ARGV[7]   ttl      seconds to keep job, result, events and attempts
-- ARGV[8]   score    Unix time when the registry entry lapses
-- ARGV[9]   blob_ttl seconds to keep the uploaded audio
-- ARGV[10]  announcement  what to leave for the job's webhook; "" for nothing
--
-- A job that waits for a certain worker stands in the list KEYS[2] .. '@' .. its waits_for.
-- Returns 1, or 0 if the job waits no more, or has not waited for so long.
-- What all jobs share (lanes, registries, counters) is written with pcall: spoilt by somebody, it must not cost a job its end.

local id = ARGV[1]
local job = redis.call('HMGET', KEYS[1], 'status', 'enqueued_at', 'waits_for')
if job[1] ~= 'queued' or not job[2] or job[2] == '' or job[2] >= ARGV[2] then
  return 0
end
if redis.pcall('LREM', KEYS[3], 1, id) ~= 1 then  -- first: a slot has taken it as a rule, and a lane may be long
  redis.pcall('LREM', KEYS[2], -1, id)
  if job[3] then
    redis.pcall('LREM', KEYS[2] .. '@' .. job[3], -1, id)
  end
end
redis.call('HSET', KEYS[1], 'status', 'failed', 'ended_at', ARGV[3])
redis.pcall('ZADD', KEYS[4], ARGV[8], id)
redis.call('SET', KEYS[5], ARGV[4], 'EX', ARGV[7])
redis.call('XADD', KEYS[6], 'MAXLEN', '10', '*', 'type', '2', 'exc_string', ARGV[6])
redis.call('XADD', KEYS[7], '*', 'event', ARGV[5])
redis.call('DEL', KEYS[10])
redis.pcall('HINCRBY', KEYS[11], 'expired', 1)
if ARGV[10] ~= '' then
  redis.pcall('ZADD', KEYS[13], redis.call('TIME')[1], ARGV[10])
end
for _, key in ipairs({KEYS[1], KEYS[6], KEYS[7], KEYS[8], KEYS[9]}) do
  redis.call('EXPIRE', key, ARGV[7])
end
redis.call('EXPIRE', KEYS[12], ARGV[9])
return 1
