-- Find the execution that has made, or makes, the text that a job asks for; if there is none, it is this one from now on.
-- An interactive job does not wait for one of another lane, and no job for one whose lease has lapsed.
--
-- key      cache_key of that text
-- lease    <lane>/<id>/<execution>
-- ttl_s    seconds to keep the entry
-- useless  a lease whose job has no result that fits, if there is one: that entry is taken over
--
-- asrq:cache:<key> holds the lease of the execution that makes or made the text. Its job keeps the key, for erase.lua.
-- Returns {"busy", lease}: ask again later; {"ended", lease}: look at the result of its job; or {"ours", lease}: make the
-- text, perhaps with finished chunks of the job of that lease, which is "" where there is none.

local other = redis.call('GET', asrq.cache(given.key))
if other and other ~= given.lease and other ~= given.useless then
  local expiry = redis.call('ZSCORE', asrq.leases, other)
  if not expiry then
    return {'ended', other}
  end
  local overtakes = string.find(given.lease, '^interactive/') and not string.find(other, '^interactive/')
  if tonumber(expiry) > now and not overtakes then
    return {'busy', other}
  end
end
if not redis.call('ZSCORE', asrq.leases, given.lease) then  -- what it makes will be refused: erased, or another has the job
  return {'ours', ''}
end
redis.call('SET', asrq.cache(given.key), given.lease, 'EX', given.ttl_s)
rq.cache_as(string.match(given.lease, '/(.*)/'), given.key)
return {'ours', other or ''}
