-- Add to the trace of a running job: events, and a finished chunk. Fenced like its end: a worker that wakes late
-- adds nothing after the end, and leaves no chunk of a job that is over.
--
-- KEYS[1]  asrq:leases       zset    the fence
-- KEYS[2]  asrq:events:<id>  stream  receives the events
-- KEYS[3]  asrq:chunks:<id>  hash    receives the chunk, if there is one
-- KEYS[4]  asrq:result:<id>  string  read only: the fence as well, where cancel.lua has ended a job whose lease had lapsed
-- ARGV[1]  lease       <lane>/<id>/<execution>
-- ARGV[2]  chunk       name of the finished chunk, or ""
-- ARGV[3]  transcript  its JSON
-- ARGV[4]  ttl         seconds to keep finished chunks
-- ARGV[5]  event       JSON text; further ones may follow
--
-- Returns 1, or 0 if the fence refused.

if not redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('EXISTS', KEYS[4]) == 1 then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
for index = 5, #ARGV do
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', '5000', '*', 'event', ARGV[index])
end
return 1
