-- Leave for the courier that a group has ended, unless a job of it is open again: then its next end will be told.
--
-- group  the group: one of asrq:groups, or another that never expires though no job of it is open
-- tells  whether webhooks are delivered at all
--
-- From now on the group is kept only as long as that of its jobs which is kept longest.
-- Returns 1 if it is to be delivered.

local group, key = given.group, asrq.group(given.group)
redis.call('SREM', asrq.groups, group)
local size, open, completed, failed, canceled, webhook, at, till = unpack(redis.call('HMGET', key,
  ':size', ':open', ':completed', ':failed', ':canceled', ':webhook', ':at', ':until'))
if open ~= '0' then  -- or it is gone
  return 0
end
redis.call('EXPIRE', key, math.max(math.floor(till - now), 1))
redis.call('EXPIRE', key .. ':events', math.max(math.floor(till - now), 1))
if not given.tells or webhook == '' or completed + failed + canceled < tonumber(size) then
  return 0
end
redis.call('ZADD', asrq.webhooks, from_now(0), string.format('{"url":%s,"notice":{"schema":"asrq.group/1","id":%s,' ..
  '"size":%d,"open":0,"completed":%d,"failed":%d,"canceled":%d,"at":%s}}',
  cjson.encode(webhook), cjson.encode(group), size, completed, failed, canceled, at))  -- cjson writes 14 digits of `at`
return 1
