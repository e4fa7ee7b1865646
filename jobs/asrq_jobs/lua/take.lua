-- Dequeue the job that was enqueued first of those at the heads of several lists of a lane.
--
-- lane   the lane
-- needs  list of what jobs wait for that a worker like this one can do: their lists are looked at beside the lane's own
--
-- The id goes where RQ's own dequeue puts it. An id without a job goes first: the slot that gets it drops it.
-- A list of the wrong type is left alone. Returns the id, or false if nothing waits.

local lists, first, from = {rq.lane(given.lane)}, nil, nil
for _, need in ipairs(given.needs) do
  lists[#lists + 1] = rq.apart(given.lane, need)
end
for _, list in ipairs(lists) do
  local id = redis.pcall('LINDEX', list, 0)
  if type(id) == 'string' then
    local enqueued = rq.enqueued_at(id)
    if not first or enqueued < first then
      first, from = enqueued, list
    end
  end
end
return from and redis.call('LMOVE', from, rq.dequeued(given.lane), 'LEFT', 'RIGHT')
