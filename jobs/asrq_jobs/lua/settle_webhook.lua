-- Note how an attempt to deliver a webhook went: the delivery is over, or goes back to be tried again.
--
-- claimed  the delivery as it was claimed
-- counter  webhooks_delivered | webhooks_given_up if it is over
-- tried    if not, the delivery as it goes back, with one more try
-- wait_s   seconds until it is tried again
--
-- Returns 1, or 0 if it was settled before. It removes before it adds, so that it also works when Redis is full.

if redis.call('ZREM', asrq.webhooks, given.claimed) == 0 then
  return 0
end
if given.counter then
  redis.call('HINCRBY', asrq.stats, given.counter, 1)
else
  redis.call('ZADD', asrq.webhooks, from_now(given.wait_s), given.tried)
end
return 1
