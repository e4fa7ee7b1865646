-- Pass on an id that a slot has dequeued and whose job its worker cannot serve: to those that wait for one that can.
--
-- id     of the job
-- lane   of the job
-- need   what a worker must be able to do, as workers name it
-- event  the `queued` event as JSON text
--
-- The job's hash receives waits_for, and the list is registered in rq:queues: here workers, and RQ's tools, find it.
-- A job that has run before goes to the front, as in its lane.
-- If a list has the wrong type, the reaper finds the job on none,
-- or on one that is not registered, and puts it back into its lane.
-- Returns "passed", "dropped" (the job is not waiting any more, or is no job) or "none" (the id was not in transit:
-- somebody has put it back).

local id = given.id
if (tonumber(redis.pcall('LREM', rq.dequeued(given.lane), 1, id)) or 0) == 0 then
  return 'none'
end
if rq.status(id) ~= 'queued' then
  return 'dropped'
end
local list = rq.apart(given.lane, given.need)
rq.wait_for(id, given.need)
redis.pcall('SADD', rq.queues, list)
redis.pcall(rq.has_run(id) and 'LPUSH' or 'RPUSH', list, id)
asrq.tell(id, given.event)
return 'passed'
