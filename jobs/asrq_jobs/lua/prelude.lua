-- What begins each script of workers: the time. It is that of Redis, the only clock that all hosts share.
-- Clients send their scripts as they are, so those that need a part of this have a copy of it.

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

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local now_iso = iso_time(tonumber(clock[1]), tonumber(clock[2]))

-- A Unix time as text, s, so many seconds from now.
local function from_now(seconds)
  return string.format('%.6f', now + seconds)
end

