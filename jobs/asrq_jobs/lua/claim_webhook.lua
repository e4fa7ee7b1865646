-- Take the delivery that is due longest, and hide it from others while it is tried.
--
-- KEYS[1]  asrq:webhooks  zset  deliveries (JSON), scored by when they are due
-- ARGV[1]  hidden  seconds until it is due again, unless it is settled before: its courier may die
--
-- Returns {delivery, now}, now in Unix time as text, s; or false if none is due.

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', from_now(0), 'LIMIT', 0, 1)
if not due[1] then
  return false
end
redis.call('ZADD', KEYS[1], from_now(ARGV[1]), due[1])
return {due[1], from_now(0)}
