-- Take the delivery that is due longest, and hide it from others while it is tried.
--
-- KEYS[1]  asrq:webhooks  zset  deliveries (JSON), scored by when they are due
-- ARGV[1]  now     Unix time, seconds
-- ARGV[2]  until   Unix time when it is due again, unless it is settled before: its courier may die
--
-- Returns the delivery, or false if none is due.

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)
if not due[1] then
  return false
end
redis.call('ZADD', KEYS[1], ARGV[2], due[1])
return due[1]
