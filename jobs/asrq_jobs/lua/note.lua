-- Write down what a running job has done: events, and a finished chunk. Fenced like its end: a worker that wakes late
-- adds nothing after the end, and leaves no chunk of a job that is over.
--
-- id          of the job
-- lease       <lane>/<id>/<execution>, the fence; so is the result, where cancel.lua has ended a job whose lease had lapsed
-- events      list of JSON texts
-- chunk       name of the finished chunk, left out if there is none
-- transcript  its JSON
-- ttl_s       seconds to keep finished chunks
-- instead_of  id of an event of this job that these take the place of, left out if there is none
--
-- Returns the id of the last event, or nothing if the fence refused.

local id = given.id
if not redis.call('ZSCORE', asrq.leases, given.lease) or redis.call('EXISTS', asrq.result(id)) == 1 then
  return false
end
if given.chunk then
  redis.call('HSET', asrq.chunks(id), given.chunk, given.transcript)
  redis.call('EXPIRE', asrq.chunks(id), given.ttl_s)
end
if given.instead_of then
  redis.call('XDEL', asrq.events(id), given.instead_of)
end
local last = ''
for _, event in ipairs(given.events) do
  last = asrq.tell(id, event)
end
return last
