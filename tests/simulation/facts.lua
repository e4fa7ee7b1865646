-- What is in Redis of the jobs ARGV, the uploads KEYS (sha256) and the group `group`, in one look: JSON text, see facts.py.
local function life(key)
  return math.min(redis.call('TTL', key), 0)
end

local out = {jobs = {}, uploads = {}}
for _, id in ipairs(ARGV) do
  local h = redis.call('HMGET', 'rq:job:' .. id, 'status', 'attempts_before', 'waits_for', 'enqueued_at')
  local last = redis.call('XREVRANGE', 'asrq:events:' .. id, '+', '-', 'COUNT', 1)
  out.jobs[id] = {
    status = h[1] or '', before = tonumber(h[2] or '0') or 0, enqueued_at = h[4] or '',
    attempts = redis.call('LLEN', 'asrq:attempts:' .. id),
    event = last[1] and last[1][2][2] or '', events = redis.call('XLEN', 'asrq:events:' .. id),
    result = redis.call('GET', 'asrq:result:' .. id) or '',
    cancel = redis.call('EXISTS', 'asrq:cancel:' .. id),
    frames = redis.call('XRANGE', 'asrq:live:' .. id, '-', '+'), sound_ttl = life('asrq:live:' .. id),
    ttls = {
      life('rq:job:' .. id), life('asrq:events:' .. id), life('asrq:attempts:' .. id), life('asrq:chunks:' .. id),
    },
  }
end
for _, sha256 in ipairs(KEYS) do
  local made = redis.call('GET', 'asrq:cache:' .. string.sub(sha256, 1, 32))
  out.uploads[sha256] = {
    ttls = {life('asrq:blob:' .. sha256), life('asrq:uses:' .. sha256)}, users = redis.call('HKEYS', 'asrq:uses:' .. sha256),
    made_by = made and string.match(made, '/(.*)/') or '',
  }
end
local lists, apart = {}, redis.call('SMEMBERS', 'rq:queues')
for _, lane in ipairs({'interactive', 'batch'}) do
  lists['rq:queue:asrq-' .. lane] = true
  lists['rq:queue:asrq-' .. lane .. ':intermediate'] = true
end
for _, name in ipairs(apart) do
  lists[name] = true
end
out.lists, out.scheduled, out.started, out.leases = {}, {}, {}, {}
for name in pairs(lists) do
  out.lists[name] = table.concat(redis.call('LRANGE', name, 0, -1), ' ')
end
for _, lane in ipairs({'interactive', 'batch'}) do
  for _, id in ipairs(redis.call('ZRANGE', 'rq:scheduled:asrq-' .. lane, 0, -1)) do
    out.scheduled[id] = 1
  end
  for _, entry in ipairs(redis.call('ZRANGE', 'rq:wip:asrq-' .. lane, 0, -1)) do
    out.started[entry] = 1
  end
end
local leases = redis.call('ZRANGE', 'asrq:leases', 0, -1, 'WITHSCORES')
for at = 1, #leases, 2 do
  out.leases[leases[at]] = tonumber(leases[at + 1])
end
out.webhooks = redis.call('ZCARD', 'asrq:webhooks') + redis.call('SCARD', 'asrq:groups')
local group, fields = redis.call('HGETALL', 'asrq:group:group'), {}
for at = 1, #group, 2 do
  fields[group[at]] = group[at + 1]
end
if #group > 0 then
  local last = redis.call('XREVRANGE', 'asrq:group:group:events', '+', '-', 'COUNT', 1)
  out.group = {fields = fields, event = last[1] and last[1][2][2] or '', events = redis.call('XLEN', 'asrq:group:group:events'),
    untold = redis.call('SISMEMBER', 'asrq:groups', 'group') == 1,
    ttls = {life('asrq:group:group'), life('asrq:group:group:events')}}
end
return cjson.encode(out)
