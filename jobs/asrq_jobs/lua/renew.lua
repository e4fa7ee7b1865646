-- Renew the leases that a worker holds, and tell it which it has lost and which jobs are to be canceled.
--
-- leases   list of {id, lease, moving}: the job, <lane>/<id>/<execution>, and whether to renew it or only look at it
-- lease_s  seconds after which a lease lapses unless it is renewed again
--
-- Returns for each lease {held, canceled}, 1 or 0. One that is gone is not made anew, and one that has lapsed is not renewed
-- if its job is to be canceled: cancel.lua has ended that job, or the reaper will. If asrq:leases has the wrong type, all
-- count as held: the reaper moves the value out of the way.

local marks, found = {}, {}
for at, held in ipairs(given.leases) do
  marks[at] = asrq.cancel(held.id)
end
marks = redis.call('MGET', unpack(marks))
for at, held in ipairs(given.leases) do
  local expiry = redis.pcall('ZSCORE', asrq.leases, held.lease)
  local mine = type(expiry) == 'string' and not (marks[at] and tonumber(expiry) <= now)
  if held.moving and mine then
    redis.call('ZADD', asrq.leases, from_now(given.lease_s), held.lease)
  end
  found[at] = {expiry and 1 or 0, marks[at] and 1 or 0}
end
return found
