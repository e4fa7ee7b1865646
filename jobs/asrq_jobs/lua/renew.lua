-- Renew the leases that a worker holds, and tell it which it has lost and which jobs are to be canceled.
--
-- KEYS[1]  asrq:leases       zset    the leases
-- KEYS[2]  asrq:cancel:<id>  string  the mark of the first job, read only; so are all further keys, for each its own
-- ARGV[1]  seconds  after which a lease lapses unless it is renewed again
-- ARGV[2]  lease    <lane>/<id>/<execution> of the first job
-- ARGV[3]  moving   "1" if its lease is to be renewed, "" if it is only looked at; further pairs may follow
--
-- Returns for each job {held, canceled}, 1 or 0. A lease that is gone is not made anew. Where somebody has spoilt the leases
-- themselves, all count as held: the reaper moves what is there out of the way.

local marks, found = redis.call('MGET', unpack(KEYS, 2)), {}
for at = 1, #KEYS - 1 do
  local lease, moving = ARGV[2 * at], ARGV[2 * at + 1] == '1'
  local expiry = redis.pcall('ZSCORE', KEYS[1], lease)
  if moving and type(expiry) == 'string' then
    redis.call('ZADD', KEYS[1], from_now(ARGV[1]), lease)
  end
  found[at] = {expiry and 1 or 0, marks[at] and 1 or 0}
end
return found
