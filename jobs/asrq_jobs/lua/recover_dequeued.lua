-- Bring back an id that a slot dequeued and never started: its process died between the two.
--
-- KEYS[1]  rq:job:<id>                        hash    the job
-- KEYS[2]  rq:queue:asrq-<lane>:intermediate  list    where the id is stuck
-- KEYS[3]  rq:queue:asrq-<lane>               list    the lane; the id goes to its front
-- ARGV[1]  id
--
-- Returns "requeued", "dropped" (the job is not waiting any more, or is no job) or "none" (it was not stuck).
-- If the slot was only slow, begin.lua lets one of the two start the job and tells the other "taken".

if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 0 then
  return 'none'
end
if redis.call('HGET', KEYS[1], 'status') ~= 'queued' then
  return 'dropped'
end
redis.pcall('LPUSH', KEYS[3], ARGV[1])  -- where somebody has spoilt the lane, the reaper finds the job on no list
return 'requeued'
