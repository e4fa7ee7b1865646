-- Remove a dead letter for good: a failed job with its history. Its upload stays until it expires, as other jobs may
-- name the same audio.
--
-- KEYS[1]  rq:job:<id>            hash    the job
-- KEYS[2]  rq:failed:asrq-<lane>  zset    RQ's registry of failed jobs
-- KEYS[3]  asrq:result:<id>       string
-- KEYS[4]  asrq:events:<id>       stream
-- KEYS[5]  asrq:attempts:<id>     list
-- KEYS[6]  asrq:chunks:<id>       hash
-- KEYS[7]  rq:results:<id>        stream  RQ's results
-- ARGV[1]  id
--
-- It also removes asrq:live:<id>.
-- A job of another lane than that of the keys is missing: it was not there, or not yet again, when its lane was looked for.
-- Returns "purged", "missing", or the status of a job that has not failed.

local status, origin = unpack(redis.call('HMGET', KEYS[1], 'status', 'origin'))
local lane = string.match(origin or '', '^asrq%-.+')
if lane and KEYS[2] ~= 'rq:failed:' .. lane then
  return 'missing'
end
if status and status ~= 'failed' then
  return status
end
local listed = redis.call('ZREM', KEYS[2], ARGV[1])
if not status then
  return listed == 1 and 'purged' or 'missing'
end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
redis.call('DEL', 'asrq:live:' .. ARGV[1])  -- on its own: a user's rights to this key are other ones
return 'purged'
