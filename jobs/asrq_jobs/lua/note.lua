-- Add to the trace of a running job: an event, or a finished chunk. Fenced like its end: a worker that wakes late
-- adds nothing after the end, and leaves no chunk of a job that is over.
--
-- KEYS[1]  asrq:leases       zset    the fence
-- KEYS[2]  asrq:events:<id>  stream  receives the event, if there is one
-- KEYS[3]  asrq:chunks:<id>  hash    receives the chunk, if there is one
-- KEYS[4]  asrq:result:<id>  string  read only: the fence as well, where cancel.lua has ended a job whose lease had lapsed
-- ARGV[1]  lease       <lane>/<id>/<execution>
-- ARGV[2]  event       JSON text, or ""
-- ARGV[3]  chunk       name of the finished chunk, or ""
-- ARGV[4]  transcript  its JSON
-- ARGV[5]  ttl         seconds to keep finished chunks
--
-- Returns 1, or 0 if the fence refused.

if not redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('EXISTS', KEYS[4]) == 1 then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '5000', '*', 'event', ARGV[2])
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
  redis.call('EXPIRE', KEYS[3], ARGV[5])
end
return 1
