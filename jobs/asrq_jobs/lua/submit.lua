-- Submit one transcription job, atomically. Any Redis client may EVAL this; it is the whole of submission.
--
-- Writes the job as RQ 3 would (JSON serializer) but for what is empty or RQ's default, which RQ reads as well where it is
-- not there: many jobs may wait. Pushes its id to the lane's queue and appends the `queued`
-- event. A job of a group is counted as open there: asrq:group:<group> (hash: what became of each job; with a colon before
-- their names its size, its webhook, and how many jobs are open, completed, failed and canceled). The same id with the same request again changes nothing and reports the job as it is now. asrq:uses:<sha256> (hash:
-- ids) receives the id of a job that names an upload, for erase.lua.
--
-- KEYS[1]  rq:job:<id>              hash    the RQ job to write
-- KEYS[2]  rq:queue:asrq-<lane>     list    the lane; ids are pushed at the tail
-- KEYS[3]  rq:queues                set     the lane's key is added, so that RQ's tools list it
-- KEYS[4]  asrq:events:<id>         stream  begins with the `queued` event; <key>:new is used on the way
-- KEYS[5]  asrq:result:<id>         string  read only: an ended job whose hash is gone still counts as submitted
-- KEYS[6]  asrq:limits              hash    read only: depth:<lane>, blob_ttl (workers write it)
-- KEYS[7]  asrq:blob:<sha256>       string  read only but for its TTL; any unused name where the audio is no blob
-- ARGV[1]  id        [A-Za-z0-9_-]{1,64}
-- ARGV[2]  lane      interactive | batch
-- ARGV[3]  request   the asrq.request/1 document as JSON text in UTF-8; its id and lane must equal ARGV[1] and ARGV[2]
--
-- The keys must be named as above, or the submission is refused: a client that mixes them up is told so at once.
--
-- Returns JSON text, one of
--   {"id": …, "status": "queued", "created": true,  "depth": <jobs in the lane, this one included>}
--   {"id": …, "status": <RQ status>, "created": false}
--   {"error": {"code": …, "message": …, "retryable": …, "stage": …, "hint": …}}
--     with code invalid_request, queue_full, job_conflict or blob_missing

local id, lane, request = ARGV[1], ARGV[2], ARGV[3]

local function given(value, default)
  if value == nil then
    return default
  end
  return value
end

local function refuse(code, stage, retryable, message, hint)
  return cjson.encode({error = {code = code, stage = stage, retryable = retryable, message = message, hint = hint}})
end

local function invalid(message)
  return refuse('invalid_request', 'request', false, message,
    'The fields are described in docs/reference/request.schema.json.')
end

local function limit(name, default)
  local set = tonumber(redis.call('HGET', KEYS[6], name) or '')
  return set and set >= 0 and set < 2 ^ 31 and math.floor(set) or default
end

-- All forms of UTF-8 beyond ASCII (RFC 3629, section 4), each with its first and last leading byte.
local forms = {
  {194, 223, '[\194-\223][\128-\191]'},
  {224, 224, '\224[\160-\191][\128-\191]'}, {225, 236, '[\225-\236][\128-\191][\128-\191]'},
  {237, 237, '\237[\128-\159][\128-\191]'}, {238, 239, '[\238\239][\128-\191][\128-\191]'},
  {240, 240, '\240[\144-\191][\128-\191][\128-\191]'}, {241, 243, '[\241-\243][\128-\191][\128-\191][\128-\191]'},
  {244, 244, '\244[\128-\143][\128-\191][\128-\191]'},
}

local function ascii(text)
  local _, last = string.find(text, '^[^\128-\255]*')
  return last == #text
end

local function holds(text, first, last)
  for code = first, last do
    if string.find(text, string.char(code), 1, true) then
      return true
    end
  end
  return false
end

-- Whether text is UTF-8. A pass over the text is what costs time, so forms that do not occur get none.
local function utf8(text)
  for _, form in ipairs(forms) do
    if not ascii(text) and holds(text, form[1], form[2]) then
      text = string.gsub(text, form[3], ' ')
    end
  end
  return ascii(text)
end

-- Whether what cjson has read is JSON to other readers as well (RFC 8259): cjson stops at a zero byte, and takes control
-- characters in strings and numbers that begin or end with the point.
local function strict(text)
  if holds(text, 0, 8) or holds(text, 11, 12) or holds(text, 14, 31) then
    return false
  end
  if string.find(text, '\\', 1, true) then
    text = string.gsub(text, '\\.', '')
  end
  local bare = string.gsub(text, '%b""', '')
  if holds(text, 9, 13) then  -- spaces, unless they are in a string
    local _, all = string.gsub(text, '[\t\n\r]', '')
    local _, between = string.gsub(bare, '[\t\n\r]', '')
    if all ~= between then
      return false
    end
  end
  return not (string.find(bare, '%D%.') or string.find(bare, '%.%D'))
end

local function is_text(value, least, most)
  if type(value) ~= 'string' or #value > 4 * most then
    return false
  end
  local length = select(2, string.gsub(value, '[^\128-\191]', ''))
  return length >= least and length <= most
end

local function is_whole(value, most)
  return type(value) == 'number' and value >= 1 and value <= most and value == math.floor(value)
end

-- The civil date of a day count since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
local function iso_time(seconds, microseconds)
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local s = seconds % 86400
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, day,
    math.floor(s / 3600), math.floor(s / 60) % 60, s % 60, microseconds)
end

if not string.match(id, '^[%w_-]+$') or #id > 64 then
  return invalid('The job id must be 1 to 64 of the characters A-Z a-z 0-9 _ -.')
end
if lane ~= 'interactive' and lane ~= 'batch' then
  return invalid('The lane must be interactive or batch.')
end
if #request > 262144 then
  return invalid('The request document is larger than 256 KiB.')
end
local json = cjson.new()
json.decode_invalid_numbers(false)
json.decode_max_depth(16)
local parsed, doc = pcall(json.decode, request)
if not parsed or type(doc) ~= 'table' or not utf8(request) or not strict(request) then
  return invalid('The request is not a JSON object in UTF-8.')
end
if doc.schema ~= 'asrq.request/1' then
  return invalid('Field \'schema\': must be "asrq.request/1".')
end
if doc.id ~= id or given(doc.lane, 'batch') ~= lane then
  return invalid('The id and lane of the request differ from those it is submitted under.')
end
local audio = doc.audio
if type(audio) ~= 'table' or
  (audio.kind ~= 'blob' and audio.kind ~= 'path' and audio.kind ~= 'url' and audio.kind ~= 'live') then
  return invalid('Field \'audio.kind\': must be blob, path, url or live.')
end
if audio.kind == 'blob' then
  if type(audio.sha256) ~= 'string' or #audio.sha256 ~= 64 or string.find(audio.sha256, '[^0-9a-f]') then
    return invalid('Field \'audio.sha256\': must be 64 hexadecimal digits in lower case.')
  end
  if given(audio.name, cjson.null) ~= cjson.null and not is_text(audio.name, 0, 255) then
    return invalid('Field \'audio.name\': must be text of at most 255 characters, or null.')
  end
elseif audio.kind == 'live' then
  if audio.encoding ~= 'pcm_s16le' and audio.encoding ~= 'pcm_f32le' then
    return invalid('Field \'audio.encoding\': must be pcm_s16le or pcm_f32le.')
  end
  if not is_whole(audio.sample_rate, 48000) or audio.sample_rate < 8000 then
    return invalid('Field \'audio.sample_rate\': must be a whole number from 8000 to 48000.')
  end
  if not is_whole(audio.channels, 2) then
    return invalid('Field \'audio.channels\': must be 1 or 2.')
  end
  if given(audio.max_s, cjson.null) ~= cjson.null and not is_whole(audio.max_s, 86400) then
    return invalid('Field \'audio.max_s\': must be a whole number from 1 to 86400, or null.')
  end
elseif not is_text(audio[audio.kind], 1, 4096) then
  return invalid('Field \'audio.' .. audio.kind .. '\': must be text of 1 to 4096 characters.')
end
local task, language = given(doc.task, 'transcribe'), given(doc.language, 'auto')
if task ~= 'transcribe' and task ~= 'translate' then
  return invalid('Field \'task\': must be transcribe or translate.')
end
if not is_text(language, 0, 64) then
  return invalid('Field \'language\': must be a code or name of a language of at most 64 characters, or auto.')
end
for _, field in ipairs({{'timeout_s', 86400}, {'queue_ttl_s', 2592000}}) do
  local name, most = unpack(field)
  if given(doc[name], cjson.null) ~= cjson.null and not is_whole(doc[name], most) then
    return invalid('Field \'' .. name .. '\': must be a whole number from 1 to ' .. most .. ', or null.')
  end
end

local group = given(doc.group, cjson.null)
if group ~= cjson.null then
  if type(group) ~= 'table' or type(group.id) ~= 'string' or #group.id > 64 or not string.match(group.id, '^[%w_-]+$') then
    return invalid('Field \'group.id\': must be 1 to 64 of the characters A-Z a-z 0-9 _ -.')
  end
  if not is_whole(group.size, 100000) then
    return invalid('Field \'group.size\': must be a whole number from 1 to 100000.')
  end
  group.webhook = given(group.webhook, cjson.null)
  if group.webhook ~= cjson.null and
    not (is_text(group.webhook, 1, 2048) and string.find(group.webhook, '^https?://')) then
    return invalid('Field \'group.webhook\': must be a URL of at most 2048 characters, or null.')
  end
end

local names = {'rq:job:' .. id, 'rq:queue:asrq-' .. lane, 'rq:queues', 'asrq:events:' .. id, 'asrq:result:' .. id,
  'asrq:limits', audio.kind == 'blob' and 'asrq:blob:' .. audio.sha256 or KEYS[7]}
for index, name in ipairs(names) do
  if KEYS[index] ~= name then
    return invalid('KEYS[' .. index .. '] must be ' .. name .. '.')
  end
end

local function taken(by)
  return refuse('job_conflict', 'queue', false, 'The job id ' .. id .. ' is taken by ' .. by .. '.',
    'Use another id; the same id with the same request is accepted again.')
end

local fingerprint = string.sub(redis.sha1hex(request), 1, 16)
local found, kept = redis.pcall('HMGET', KEYS[1], 'status', 'meta'), redis.pcall('GET', KEYS[5])
if found.err or type(kept) == 'table' then
  return taken('something that is no job')
end
if found[1] then
  local readable, meta = pcall(cjson.decode, found[2] or '')
  if not readable or type(meta) ~= 'table' or string.sub(tostring(meta.request_sha1), 1, 16) ~= fingerprint then
    return taken('a different request')
  end
  return cjson.encode({id = id, status = found[1], created = false})
end
if kept then
  local readable, result = pcall(cjson.decode, kept)
  local status = readable and type(result) == 'table' and
    ({completed = 'finished', failed = 'failed', canceled = 'canceled'})[given(result.status, '')]
  if not status then
    return taken('something that is no job')
  end
  return cjson.encode({id = id, status = status, created = false})
end

-- All jobs of the lane count, also those that wait for a certain worker in lists of their own.
local depth = redis.call('LLEN', KEYS[2])
local others = KEYS[2] .. '@'
for _, list in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  if string.sub(list, 1, #others) == others then
    depth = depth + redis.call('LLEN', list)
  end
end
local most = limit('depth:' .. lane, 10000)
if depth >= most then
  return refuse('queue_full', 'queue', true,
    'The lane ' .. lane .. ' holds ' .. depth .. ' jobs, its limit is ' .. most .. '.',
    'Try again later, or use the other lane.')
end
if audio.kind == 'blob' then
  if redis.call('EXISTS', KEYS[7]) == 0 then
    return refuse('blob_missing', 'fetch', false, 'The uploaded audio is not there (never uploaded, or expired).',
      'Upload the audio again and submit the job anew.')
  end
end

local joined = group ~= cjson.null and 'asrq:group:' .. group.id
local webhook = joined and group.webhook ~= cjson.null and group.webhook or ''
local known = joined and redis.call('HMGET', joined, id, ':size', ':webhook', ':open', ':completed', ':failed', ':canceled')
if known and known[2] then
  if tonumber(known[2]) ~= group.size or known[3] ~= webhook then
    return refuse('job_conflict', 'queue', false, 'The group ' .. group.id .. ' was begun with another size or webhook.',
      'All jobs of a group name it in the same words; another group needs another id.')
  end
  if not known[1] and known[4] + known[5] + known[6] + known[7] >= group.size then
    return refuse('job_conflict', 'queue', false, 'The group ' .. group.id .. ' has all of its ' .. group.size .. ' jobs.',
      'Another group needs another id.')
  end
end

-- Dashboards show the description, so the parts of a URL that may hold secrets (login, query) stay out of it. Patterns are
-- anchored and greedy: others take a time that grows with the square of the length.
local name = audio.name ~= cjson.null and audio.name
if audio.kind == 'path' then
  name = string.match(audio.path, '^.*[/\\](.*)$') or audio.path
elseif audio.kind == 'url' then
  name = string.match(string.match(audio.url, '^[^?#]*'), '^.*[^/]') or ''
  name = string.match(name, '^.*[/@](.*)$') or name
elseif audio.kind == 'live' then
  name = 'live'
end
if not name or name == '' then
  name = audio.kind
end
-- What the reaper has to know of a job that waits (the upload to keep, and for how long it may wait), and what tells its request
-- from others: earlier versions noted the whole digest.
local meta = {request_sha1 = fingerprint, blob = audio.kind == 'blob' and audio.sha256 or nil,
  queue_ttl_s = doc.queue_ttl_s ~= cjson.null and doc.queue_ttl_s or nil}
local clock = redis.call('TIME')
if audio.kind == 'live' then  -- what append.lua has to know
  local width = (audio.encoding == 'pcm_s16le' and 2 or 4) * audio.channels
  meta.live = {width = width, rate = width * audio.sample_rate, since = tonumber(clock[1]),
    max_s = audio.max_s ~= cjson.null and audio.max_s or nil}
end
local now = iso_time(tonumber(clock[1]), tonumber(clock[2]))

local uses = audio.kind == 'blob' and 'asrq:uses:' .. audio.sha256
if uses then  -- first, so that nothing has been written if it has the wrong type
  redis.call('HSET', uses, id, '')
end
redis.call('HSET', KEYS[1],
  'created_at', now, 'enqueued_at', now,
  'data', '["asrq_worker.task.transcribe",null,[' .. request .. '],{}]',
  'description', task .. ' ' .. name .. ' (' .. language .. ')',
  'origin', 'asrq-' .. lane, 'status', 'queued', 'meta', cjson.encode(meta))
if known then
  redis.call('HSET', KEYS[1], 'group', group.id)
  if not known[2] then
    redis.call('HSET', joined, ':size', string.format('%d', group.size), ':webhook', webhook, ':at', '0', ':until', '0',
      ':open', '0', ':completed', '0', ':failed', '0', ':canceled', '0')
  end
  if known[1] ~= 'open' then
    redis.call('HSET', joined, id, 'open')
    redis.call('HINCRBY', joined, ':open', 1)
    if known[1] then
      redis.call('HINCRBY', joined, ':' .. known[1], -1)
    end
  end
  redis.call('PERSIST', joined)
  redis.call('PERSIST', joined .. ':events')
end
if given(doc.timeout_s, cjson.null) ~= cjson.null then
  redis.call('HSET', KEYS[1], 'timeout', string.format('%d', doc.timeout_s))
end
if uses then  -- not before: the first write of a script is the one that a full Redis refuses
  redis.call('EXPIRE', KEYS[7], limit('blob_ttl', 86400))
  redis.call('EXPIRE', uses, limit('blob_ttl', 86400))
end
redis.call('SADD', KEYS[3], KEYS[2])  -- for RQ's tools
redis.call('RPUSH', KEYS[2], id)
depth = depth + 1
local event = string.format('{"type":"queued","at":%d.%06d,"lane":"%s","depth":%d}',
  tonumber(clock[1]), tonumber(clock[2]), lane, depth)
-- A new stream takes 4 KiB at once, its copy only what it holds. An older stream there is not of this job.
local new = KEYS[4] .. ':new'
redis.call('DEL', KEYS[4], new)
redis.call('XADD', new, '*', 'event', event)
redis.call('COPY', new, KEYS[4])
redis.call('DEL', new)
return cjson.encode({id = id, status = 'queued', created = true, depth = depth})
