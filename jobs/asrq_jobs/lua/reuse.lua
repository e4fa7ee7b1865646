-- Find out who has made, or makes, the text that a job asks for; if nobody of use, this execution is the one from now on.
-- An interactive job does not wait for one of another lane, and nobody for one whose lease has lapsed.
--
-- KEYS[1]  asrq:cache:<key>  string  lease of the execution that makes or made the text; receives this one's
-- KEYS[2]  asrq:leases       zset    read only: who is at work
-- ARGV[1]  lease    <lane>/<id>/<execution>
-- ARGV[2]  ttl      seconds to keep the entry
-- ARGV[3]  useless  a lease whose job has no result that fits, or "": that entry is taken over
--
-- Returns {"busy", lease}: ask again later; {"ended", lease}: look at the result of its job; or {"ours", lease}: make the
-- text, perhaps with finished chunks of the job of that lease, which is "" where there is none.

local other = redis.call('GET', KEYS[1])
if other and other ~= ARGV[1] and other ~= ARGV[3] then
  local expiry = redis.call('ZSCORE', KEYS[2], other)
  if not expiry then
    return {'ended', other}
  end
  local overtakes = string.find(ARGV[1], '^interactive/') and not string.find(other, '^interactive/')
  if tonumber(expiry) > now and not overtakes then
    return {'busy', other}
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return {'ours', other or ''}
