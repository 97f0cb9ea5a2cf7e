-- The place in a topic after which the wanted event lies.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 what: 'earliest', 'time' or 'ago' with microseconds in 2, 'last' with a number in 2
-- Returns: epoch, sequence
local s = KEYS[2]
local m = redis.call('HMGET', KEYS[1], 'epoch', 'last')
local present = { m[1] or '0', m[2] or '0' }

-- What is not ours has no events, and stands at the end of time: rather too much than too little.
local function parts(x)
  local epoch, first = string.match(x[1], '^(%d+)-(%d+)$')
  local field = {}
  for i = 1, #x[2], 2 do field[x[2][i]] = x[2][i + 1] end
  return { epoch = epoch, first = tonumber(first), n = tonumber(field.n) or 0, t = tonumber(field.t) or math.huge }
end
local function place(epoch, sequence)
  return { epoch, string.format('%.0f', math.max(sequence, 0)) }
end
local function before(x)
  return place(x.epoch, x.first - 1)
end

if ARGV[1] == 'earliest' then
  local x = redis.call('XRANGE', s, '-', '+', 'COUNT', 1)[1]
  return x and before(parts(x)) or present
end

if ARGV[1] == 'last' then
  local wanted, from, oldest = tonumber(ARGV[2]), '+', nil
  if wanted == 0 then return present end
  while wanted > 0 do
    local page = redis.call('XREVRANGE', s, from, '-', 'COUNT', 32)
    if #page == 0 then break end
    for i = 1, #page do
      oldest = parts(page[i])
      if oldest.n >= wanted then return place(oldest.epoch, oldest.first - 1 + oldest.n - wanted) end
      wanted = wanted - oldest.n
    end
    from = '(' .. page[#page][1]
  end
  return oldest and before(oldest) or present
end

local time = tonumber(ARGV[2])
if ARGV[1] == 'ago' then
  local t = redis.call('TIME')
  time = tonumber(t[1]) * 1000000 + tonumber(t[2]) - time
end
-- From the newest life back: within one, times never decrease, so it is searched by halves.
local found, top = present, '+'
while true do
  local newest = redis.call('XREVRANGE', s, top, '-', 'COUNT', 1)[1]
  if not newest then return found end
  newest = parts(newest)
  if newest.t < time then return found end
  local oldest = parts(redis.call('XRANGE', s, newest.epoch .. '-0', '+', 'COUNT', 1)[1])
  if oldest.t >= time then
    found, top = before(oldest), '(' .. oldest.epoch .. '-' .. string.format('%.0f', oldest.first)
  else
    local low, high = oldest.first, newest.first
    while low < high do
      local middle = string.format('%.0f', math.floor((low + high) / 2))
      local x = parts(redis.call('XREVRANGE', s, newest.epoch .. '-' .. middle, newest.epoch .. '-0', 'COUNT', 1)[1])
      if x.t >= time then high = x.first else low = x.first + math.max(x.n, 1) end
    end
    return place(newest.epoch, high - 1)
  end
end
