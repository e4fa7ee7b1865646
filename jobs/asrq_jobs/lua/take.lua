-- Dequeue the job that was enqueued first of those at the heads of several lists of a lane.
--
-- KEYS[1]  rq:queue:asrq-<lane>:intermediate  list  receives the id, as from RQ's own dequeue
-- KEYS[2]  rq:queue:asrq-<lane>               list  the lane
-- KEYS[3]  rq:queue:asrq-<lane>@<need>        list  jobs that wait for a worker like this one; so are all further keys
--
-- It also reads rq:job:<id> of each head. An id without a job goes first: whoever gets it drops it.
-- A list that somebody has spoilt is left alone. Returns the id, or false if nothing waits.

local first, from
for index = 2, #KEYS do
  local id = redis.pcall('LINDEX', KEYS[index], 0)
  if type(id) == 'string' then
    local found = redis.pcall('HGET', 'rq:job:' .. id, 'enqueued_at')
    local enqueued = type(found) == 'string' and found or ''
    if not first or enqueued < first then
      first, from = enqueued, KEYS[index]
    end
  end
end
return from and redis.call('LMOVE', from, KEYS[1], 'LEFT', 'RIGHT')
