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
if not given.tells or completed + failed + canceled < tonumber(size) then
  return 0
end
redis.call('ZADD', asrq.webhooks, from_now(0), cjson.encode({url = webhook, notice = {schema = 'asrq.group/1', id = group,
  size = tonumber(size), open = 0, completed = tonumber(completed), failed = tonumber(failed),
  canceled = tonumber(canceled), at = tonumber(at)}}))
return 1
