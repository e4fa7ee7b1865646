-- Pass on an id that a slot has dequeued and whose job its worker cannot serve: to those that wait for one that can.
--
-- KEYS[1]  rq:job:<id>                        hash    the job; receives waits_for (a field that RQ ignores)
-- KEYS[2]  rq:queue:asrq-<lane>:intermediate  list    holds the id since the dequeue; removed here
-- KEYS[3]  rq:queue:asrq-<lane>@<need>        list    receives the id
-- KEYS[4]  rq:queues                          set     receives KEYS[3]: here workers, and RQ's tools, find the list
-- KEYS[5]  asrq:events:<id>                   stream  receives `queued`
-- ARGV[1]  id
-- ARGV[2]  need   what a worker must be able to do, as workers name it
-- ARGV[3]  event  the `queued` event as JSON text
--
-- One that has run before goes to the front, as in its lane.
-- What all jobs share (lists, registries) is written with pcall: where somebody has spoilt it, the reaper finds the job on
-- no list, or on one that is not registered, and puts it back into its lane.
-- Returns "passed", "dropped" (the job is not waiting any more, or is no job) or "none" (the id was not in transit:
-- somebody has put it back).

local id = ARGV[1]
if (tonumber(redis.pcall('LREM', KEYS[2], 1, id)) or 0) == 0 then
  return 'none'
end
local job = redis.call('HMGET', KEYS[1], 'status', 'started_at')
if job[1] ~= 'queued' then
  return 'dropped'
end
redis.call('HSET', KEYS[1], 'waits_for', ARGV[2])
redis.pcall('SADD', KEYS[4], KEYS[3])
redis.pcall((job[2] or '') == '' and 'RPUSH' or 'LPUSH', KEYS[3], id)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', '5000', '*', 'event', ARGV[3])
return 'passed'
