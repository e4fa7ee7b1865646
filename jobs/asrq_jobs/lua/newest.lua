-- What is stored of the jobs that were dequeued last in a lane: who sends this along with its dequeue need not ask again.
--
-- lane  the lane
--
-- Returns a list of {id, {field, value, …}}, of two at most; what has the wrong type is left out.

local found = {}
for _, id in ipairs(redis.pcall('LRANGE', rq.dequeued(given.lane), -2, -1)) do
  local hash = redis.pcall('HGETALL', rq.job(id))
  if not hash.err then
    found[#found + 1] = {id, hash}
  end
end
return found
