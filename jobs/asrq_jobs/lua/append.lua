-- Append a frame to the sound of a live job, or its end mark, atomically. The same number again changes nothing, so after a
-- broken connection a client repeats what was not answered.
--
-- KEYS[1]  asrq:live:<id>    stream  receives the entry <seq>-0: `audio` or `end`, `to`, the bytes of sound up to here, and `at`,
--                                     when (Unix s)
-- KEYS[2]  rq:job:<id>       hash    read only
-- KEYS[3]  asrq:result:<id>  string  read only: a job that has ended takes nothing more
-- KEYS[4]  asrq:limits       hash    read only: live_bytes, live_s (workers write them)
-- ARGV[1]  id
-- ARGV[2]  seq    number of the frame, from 1 without a gap; 0 changes nothing, and asks for the last one
-- ARGV[3]  kind   audio | end | interrupted: a frame; the end; the end, as the worker that waits makes it
-- ARGV[4]  frame  raw samples as the request describes them, at most 256 KiB; "" for an end. For `interrupted` the seconds for
--                 which nothing must have come: else nothing is appended. What was lost and has come again has just come.
--
-- Returns JSON text: {"last": <number of the last frame that is kept>}, with "error" as in submit.lua where it was refused:
-- code invalid_request, job_not_found, job_state (the job has ended, its recording has, or it is not live), audio_too_long, or
-- too_fast: more than ten seconds of sound, or a hundred frames, for each second since a minute before the submission.

local id, kind, frame = ARGV[1], ARGV[3], ARGV[4]
local last, to, at, ended = 0, 0, 0, false
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000

local function refuse(code, retryable, message, hint)
  return cjson.encode({last = last,
    error = {code = code, stage = 'queue', retryable = retryable, message = message, hint = hint}})
end

local function invalid(message)
  return refuse('invalid_request', false, message, 'See docs/reference/protocol.md, live audio.')
end

local function add(seq, name, value, to)
  redis.call('XADD', KEYS[1], seq .. '-0', name, value, 'to', string.format('%d', to), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[1], 604800)  -- where nobody ends the job
  return cjson.encode({last = seq})
end

local function limit(name, default)
  local set = tonumber(redis.call('HGET', KEYS[4], name))
  return set and set >= 1 and set or default
end

for index, name in ipairs({'asrq:live:' .. id, 'rq:job:' .. id, 'asrq:result:' .. id, 'asrq:limits'}) do
  if KEYS[index] ~= name then
    return invalid('KEYS[' .. index .. '] must be ' .. name .. '.')
  end
end
local seq = string.match(ARGV[2], '^%d+$') and #ARGV[2] <= 9 and tonumber(ARGV[2])
if not seq then
  return invalid('The number of a frame must be a whole one.')
end
local job = redis.call('HMGET', KEYS[2], 'status', 'meta')
if not job[1] then
  return refuse('job_not_found', false, 'There is no job ' .. id .. '.', cjson.null)
end
local going = {queued = true, scheduled = true, started = true}
if not going[job[1]] or redis.call('EXISTS', KEYS[3]) == 1 then
  return refuse('job_state', false, 'Job ' .. id .. ' has ended.', cjson.null)
end
local readable, meta = pcall(cjson.decode, job[2] or '')
local live = readable and type(meta) == 'table' and meta.live
if type(live) ~= 'table' then
  return refuse('job_state', false, 'Job ' .. id .. ' is not live: it takes no frames.', cjson.null)
end
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if entry then
  last, ended = tonumber(string.match(entry[1], '^%d+')), entry[2][1] == 'end'
  to, at = tonumber(entry[2][4]), tonumber(entry[2][6]) or 0
end
if seq <= last and not (ended and seq == last and kind == 'audio') then  -- that one is an end mark, not this frame
  return cjson.encode({last = last})
end
if ended then
  return refuse('job_state', false, 'The recording of job ' .. id .. ' has ended.', cjson.null)
end
if seq > last + 1 then
  return invalid('Frame ' .. last + 1 .. ' is missing before frame ' .. seq .. '.')
end
if kind ~= 'audio' then
  if kind ~= 'end' and kind ~= 'interrupted' then
    return invalid('The kind must be audio, end or interrupted.')
  end
  if kind == 'interrupted' and now - at < (tonumber(frame) or 0) then
    return cjson.encode({last = last})
  end
  return add(seq, 'end', kind, to)
end
if #frame == 0 or #frame > 262144 or #frame % live.width ~= 0 then
  return invalid('A frame must have 1 to 262144 bytes, and all channels of each sample: a multiple of ' ..
    live.width .. '.')
end
to = to + #frame
local longest = math.min(live.max_s or math.huge, limit('live_s', 14400))
if to > longest * live.rate or to > limit('live_bytes', 536870912) then
  return refuse('audio_too_long', false, 'The recording is as long as it may be.', 'End it; what was said is transcribed.')
end
local since = clock[1] - live.since + 60
if to > since * live.rate * 10 or seq > since * 100 then
  return refuse('too_fast', true, 'Frames come faster than they may.', 'Append the same frame again in a second.')
end
return add(seq, 'audio', frame, to)
