-- Write down how a try to deliver a webhook went: the delivery is over, or goes back to be tried again.
--
-- KEYS[1]  asrq:webhooks  zset  deliveries (JSON), scored by when they are due
-- KEYS[2]  asrq:stats     hash  counters
-- ARGV[1]  claimed  the delivery as it was claimed
-- ARGV[2]  counter  webhooks_delivered | webhooks_given_up if it is over, "" if it goes back
-- ARGV[3]  tried    the delivery as it goes back, with one more try
-- ARGV[4]  wait     seconds until it is tried again
--
-- Returns 1, or 0 if it was settled before. It removes before it adds, so that it also works when Redis is full.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] == '' then
  redis.call('ZADD', KEYS[1], from_now(ARGV[4]), ARGV[3])
else
  redis.pcall('HINCRBY', KEYS[2], ARGV[2], 1)
end
return 1
