-- Take the delivery that is due longest, and hide it from others while it is tried.
--
-- hidden_s  seconds until it is due again, unless it is settled before: its courier may die
--
-- asrq:webhooks holds deliveries (JSON), scored by when they are due.
-- Returns {delivery, now}, now in Unix time as text, s; or false if none is due.

local due = redis.call('ZRANGEBYSCORE', asrq.webhooks, '-inf', from_now(0), 'LIMIT', 0, 1)
if not due[1] then
  return false
end
redis.call('ZADD', asrq.webhooks, from_now(given.hidden_s), due[1])
return {due[1], from_now(0)}
