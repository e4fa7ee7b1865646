-- Count a job of a group as ended that no script has counted: RQ's own tools have canceled or removed it, it was refused, or
-- it has expired. One that an execution holds ends as usual, whatever they have done. Anyone may call this at any time.
--
-- group  the group
-- id     of the job
-- ttl_s  seconds to keep the group, if no job of it is open any more
--
-- Returns 1 if it is counted now.

local group, id = given.group, given.id
local outcomes = {finished = 'completed', failed = 'failed', canceled = 'canceled', stopped = 'canceled'}
local status = 'canceled'  -- there is no such job any more, or its id is used for another
if rq.group(id) == group then
  status = outcomes[rq.status(id)]
end
if not status or redis.call('HGET', asrq.group(group), id) ~= 'open' then
  return 0
end
for _, lease in ipairs(redis.call('ZRANGE', asrq.leases, 0, -1)) do
  if string.find(lease, '/' .. id .. '/', 1, true) then
    return 0
  end
end
settle(group, id, status, now, given.ttl_s)
return 1
