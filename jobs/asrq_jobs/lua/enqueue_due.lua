-- Move a retry whose time has come from the scheduled registry to its lane.
--
-- id    of the job
-- lane  of the job
-- by    Unix time; the entry moves only if it is due by then
--
-- Returns 1 if it moved.

local id = given.id
local scheduled = rq.registry('scheduled', given.lane)
local due = redis.call('ZSCORE', scheduled, id)
if not due or tonumber(due) > given.by then
  return 0
end
redis.call('ZREM', scheduled, id)
if rq.status(id) ~= 'scheduled' then
  return 0
end
rq.queue(id)
redis.pcall('RPUSH', rq.lane(given.lane), id)  -- if the lane has the wrong type, the reaper finds the job on no list
return 1
