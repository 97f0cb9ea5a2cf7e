-- The place in a topic after which the wanted event lies.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 what: 'earliest', 'time' or 'ago' with microseconds in 2, 'last' with a number in 2
--       3 most events that one of our entries holds
-- Returns: epoch, sequence; DAMAGED where the hash does not tell what the topic has reached
local s = KEYS[2]
local field = redis.call('HGET', KEYS[1], 'at')
local at = where(field)
if field and not at then
  return redis.error_reply('DAMAGED the hash does not tell what the topic has reached')
end
local present = { '0', '0' }
-- What stands above the place that the topic has reached is nobody's, and no life has the epoch 0.
local bottom, top = '1-0', '9007199254740991-0'
if at then
  present = { string.format('%d', at[1]), string.format('%d', at[3]) }
  top = present[1] .. '-' .. present[2]
end

-- What is not ours has no events, and stands at the end of time: rather too much than too little.
local function parts(x)
  local epoch, first = string.match(x[1], '^(%d+)-(%d+)$')
  local field = {}
  for i = 1, #x[2], 2 do field[x[2][i]] = x[2][i + 1] end
  local n = whole(field.n) or 0
  if n > tonumber(ARGV[3]) then n = 0 end
  return { id = x[1], epoch = epoch, first = tonumber(first), n = n, t = whole(field.t) or math.huge }
end
local function place(epoch, sequence)
  if epoch == present[1] then sequence = math.min(sequence, tonumber(present[2])) end
  return { epoch, string.format('%.0f', math.max(math.min(sequence, 2 ^ 53), 0)) }
end
local function before(x)
  return place(x.epoch, x.first - 1)
end

if ARGV[1] == 'earliest' then
  local x = redis.call('XRANGE', s, bottom, top, 'COUNT', 1)[1]
  return x and before(parts(x)) or present
end

-- From the newest life back: within one, sequences rise by one, so what is kept of it is counted by its ends.
if ARGV[1] == 'last' then
  local wanted, from, oldest = tonumber(ARGV[2]), top, nil
  if wanted == 0 then return present end
  while true do
    local newest = newest_up_to(s, from, bottom)
    if not newest then return oldest and before(oldest) or present end
    newest = parts(newest)
    oldest = parts(redis.call('XRANGE', s, newest.epoch .. '-0', '+', 'COUNT', 1)[1])
    local reached = newest.first - 1 + newest.n
    if newest.epoch == present[1] then reached = math.min(reached, tonumber(present[2])) end
    local kept = math.max(reached + 1 - math.max(oldest.first, 1), 0)
    if kept >= wanted then
      local after = reached - wanted
      local first = newest.epoch .. '-' .. string.format('%.0f', after + 1)
      local x = redis.call('XREVRANGE', s, first, newest.epoch .. '-0', 'COUNT', 1)[1]
      x = x and parts(x)
      if not x or x.first - 1 + x.n <= after then
        -- Somebody deleted what stood there: what is kept begins behind it.
        x = redis.call('XRANGE', s, first, '+', 'COUNT', 1)[1]
        after = x and parts(x).first - 1 or after
      end
      return place(newest.epoch, after)
    end
    wanted, from = wanted - kept, '(' .. oldest.id
  end
end

local time = tonumber(ARGV[2])
if ARGV[1] == 'ago' then
  local t = redis.call('TIME')
  time = tonumber(t[1]) * 1000000 + tonumber(t[2]) - time
end
-- From the newest life back: within one, times never decrease, so it is searched by halves.
local found = present
while true do
  local newest = newest_up_to(s, top, bottom)
  if not newest then return found end
  newest = parts(newest)
  if newest.t < time then return found end
  local oldest = parts(redis.call('XRANGE', s, newest.epoch .. '-0', '+', 'COUNT', 1)[1])
  if oldest.t >= time then
    found, top = before(oldest), '(' .. oldest.id
  else
    local low, high = oldest.first, newest.first
    -- No more rounds than a number has bits, whatever stands there.
    for _ = 1, 64 do
      if low >= high then break end
      -- The last entry at or below the middle: where it is too old, so is all up to the middle,
      -- also where entries are missing.
      local middle = math.floor((low + high) / 2)
      local from = newest.epoch .. '-' .. string.format('%.0f', middle)
      local x = redis.call('XREVRANGE', s, from, newest.epoch .. '-0', 'COUNT', 1)[1]
      x = x and parts(x)
      if x and x.t >= time then high = x.first else low = middle + 1 end
    end
    return place(newest.epoch, high - 1)
  end
end
