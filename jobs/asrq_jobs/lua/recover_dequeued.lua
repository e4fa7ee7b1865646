-- Bring back an id that a slot dequeued and never started: its process died between the two.
--
-- id    of the job
-- lane  where the id is stuck in transit; it goes to the front
--
-- Returns "requeued", "dropped" (the job is not waiting any more, or is no job) or "none" (it was not stuck).
-- If the slot was only slow, begin.lua lets one of the two start the job and tells the other "taken".

local id = given.id
if redis.call('LREM', rq.dequeued(given.lane), 1, id) == 0 then
  return 'none'
end
if rq.status(id) ~= 'queued' then
  return 'dropped'
end
redis.pcall('LPUSH', rq.lane(given.lane), id)  -- if the lane has the wrong type, the reaper finds the job on no list
return 'requeued'
