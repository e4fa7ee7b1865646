-- Submit one transcription job, atomically. Any Redis client may EVAL this; it is the whole of submission.
--
-- Writes the job as RQ 3 would (JSON serializer), pushes its id to the lane's queue and appends the `queued`
-- event. The same id with the same request again changes nothing and reports the job as it stands.
--
-- KEYS[1]  rq:job:<id>              hash    the RQ job to write
-- KEYS[2]  rq:queue:asrq-<lane>     list    the lane; ids are pushed at the tail
-- KEYS[3]  rq:queues                set     the lane's key is added, so that RQ's tools list it
-- KEYS[4]  asrq:events:<id>         stream  receives the `queued` event
-- KEYS[5]  asrq:result:<id>         string  read only: an ended job whose hash is gone still counts as submitted
-- KEYS[6]  asrq:limits              hash    read only: depth:<lane>, result_ttl, failure_ttl, blob_ttl (workers write it)
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

local function refuse(code, stage, retryable, message, hint)
  return cjson.encode({error = {code = code, stage = stage, retryable = retryable, message = message, hint = hint}})
end

local function invalid(message)
  return refuse('invalid_request', 'request', false, message,
    'The fields are described in docs/reference/request.schema.json.')
end

local function limit(name, default)
  local set = tonumber(redis.pcall('HGET', KEYS[6], name))
  return set and set >= 0 and set < 2 ^ 31 and math.floor(set) or default
end

-- Whether text is UTF-8 (RFC 3629). cjson does not look, and RQ's tools stop at a job that is not.
local function utf8(text)
  for _, sequence in ipairs({'[\194-\223]', '\224[\160-\191]', '[\225-\236\238\239][\128-\191]', '\237[\128-\159]',
    '\240[\144-\191][\128-\191]', '[\241-\243][\128-\191][\128-\191]', '\244[\128-\143][\128-\191]'}) do
    text = string.gsub(text, sequence .. '[\128-\191]', ' ')
  end
  return not string.find(text, '[\128-\255]')
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
local parsed, doc = pcall(cjson.decode, request)
if not parsed or type(doc) ~= 'table' or not utf8(request) then
  return invalid('The request is not a JSON object in UTF-8.')
end
if doc.schema ~= 'asrq.request/1' then
  return invalid('Field \'schema\': must be "asrq.request/1".')
end
if doc.id ~= id or (doc.lane or 'batch') ~= lane then
  return invalid('The id and lane of the request differ from those it is submitted under.')
end
local audio = doc.audio
if type(audio) ~= 'table' or (audio.kind ~= 'blob' and audio.kind ~= 'path' and audio.kind ~= 'url') then
  return invalid('Field \'audio.kind\': must be blob, path or url.')
end

local names = {'rq:job:' .. id, 'rq:queue:asrq-' .. lane, 'rq:queues', 'asrq:events:' .. id, 'asrq:result:' .. id,
  'asrq:limits', audio.kind == 'blob' and 'asrq:blob:' .. tostring(audio.sha256) or KEYS[7]}
for index, name in ipairs(names) do
  if KEYS[index] ~= name then
    return invalid('KEYS[' .. index .. '] must be ' .. name .. '.')
  end
end

local fingerprint = redis.sha1hex(request)
local found = redis.call('HMGET', KEYS[1], 'status', 'meta')
if found[1] then
  local readable, meta = pcall(cjson.decode, found[2] or '')
  if not readable or type(meta) ~= 'table' or meta.request_sha1 ~= fingerprint then
    return refuse('job_conflict', 'queue', false, 'The job id ' .. id .. ' is taken by a different request.',
      'Use another id; the same id with the same request is accepted again.')
  end
  return cjson.encode({id = id, status = found[1], created = false})
end
local kept = redis.call('GET', KEYS[5])
if kept then
  local status = cjson.decode(kept).status
  return cjson.encode({id = id, status = status == 'completed' and 'finished' or status, created = false})
end

local depth = redis.call('LLEN', KEYS[2])
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

local function text(value)
  return type(value) == 'string' and value or nil
end

-- Dashboards show the description, so the parts of a URL that may hold secrets (login, query) stay out of it.
local source = text(audio.path) or string.gsub(text(audio.url) or '', '[?#].*', '')
local name = text(audio.name) or string.match(source, audio.kind == 'url' and '([^/@]+)/*$' or '([^/\\]+)$')
local timeout = type(doc.timeout_s) == 'number' and doc.timeout_s or -1
timeout = timeout >= 1 and timeout <= 86400 and timeout or -1
-- What the reaper has to know of a job that waits: the upload to keep, and for how long it may wait.
local meta = {lane = lane, request_sha1 = fingerprint, blob = audio.kind == 'blob' and audio.sha256 or nil,
  queue_ttl_s = type(doc.queue_ttl_s) == 'number' and doc.queue_ttl_s or nil}
local clock = redis.call('TIME')
local now = iso_time(tonumber(clock[1]), tonumber(clock[2]))

redis.call('HSET', KEYS[1],
  'created_at', now, 'enqueued_at', now, 'started_at', '', 'ended_at', '', 'last_heartbeat', '',
  'data', '["asrq_worker.task.transcribe",null,[' .. request .. '],{}]',
  'description', (text(doc.task) or 'transcribe') .. ' ' .. (name or audio.kind) .. ' (' .. (text(doc.language) or 'auto') .. ')',
  'origin', 'asrq-' .. lane, 'status', 'queued', 'timeout', string.format('%d', timeout),
  'result_ttl', string.format('%d', limit('result_ttl', 86400)),
  'failure_ttl', string.format('%d', limit('failure_ttl', 604800)),
  'meta', cjson.encode(meta),
  'worker_name', '', 'group_id', '',
  'success_callback_name', '', 'failure_callback_name', '', 'stopped_callback_name', '')
if audio.kind == 'blob' then  -- not before: the first write of a script is the one that a full Redis refuses
  redis.call('EXPIRE', KEYS[7], limit('blob_ttl', 86400))
end
redis.pcall('SADD', KEYS[3], KEYS[2])  -- only for RQ's tools: spoilt by somebody, it must not cost a job its place
depth = redis.call('RPUSH', KEYS[2], id)
redis.call('XADD', KEYS[4], '*', 'event', string.format(
  '{"type":"queued","at":%d.%06d,"lane":"%s","depth":%d}', tonumber(clock[1]), tonumber(clock[2]), lane, depth))
return cjson.encode({id = id, status = 'queued', created = true, depth = depth})
