-- Drops what a durable topic need not keep any more, some of it at a time: whoever calls does so until
-- nothing is left to drop. What to keep the hash says, and no broker. A life that has not reached as many
-- events as are to be kept takes nothing from the one before it.
-- KEYS: topic's hash, topic's stream   ARGV: about how many entries to drop at most
-- Returns: how many were dropped
local at = where(redis.call('HGET', KEYS[1], 'at'))
if not at then return 0 end
local mode, events, bytes, age = unpack(redis.call('HMGET', KEYS[1], 'mode', 'max_events', 'max_bytes',
  'max_age'))
events, bytes, age = whole(events), whole(bytes), whole(age)
if mode ~= 'durable' then return 0 end
local present, reached, total = at[1], at[3], at[5]

-- The first place to keep.
local epoch, sequence = 0, 0
local function keep_from(e, s)
  if e > epoch or e == epoch and s > sequence then epoch, sequence = e, s end
end
local function keep_what(holds)
  local oldest = first(KEYS[2], holds)
  if oldest then
    local e, s = string.match(oldest[1], '^(%d+)-(%d+)$')
    keep_from(tonumber(e), tonumber(s))
  else
    keep_from(present, reached + 1)
  end
end

if events and reached > events then keep_from(present, reached - events + 1) end
if bytes and total > bytes then
  -- What was stored before the topic was durable does not tell, and is older than all that does.
  keep_what(function(fields) return (field(fields, 'b') or 0) >= total - bytes end)
end
local t = redis.call('TIME')
local oldest = t[1] * 1000000 + t[2] - (age or 2 ^ 53) * 1000
if oldest > 0 then
  keep_what(function(fields) return (field(fields, 't') or 0) >= oldest end)
end
if epoch == 0 then return 0 end

local from = string.format('%d-%d', epoch, sequence)
local dropped = redis.call('XTRIM', KEYS[2], 'MINID', '~', from, 'LIMIT', ARGV[1])
-- Whole nodes of the stream first, which is cheap; then the part of one.
if dropped == 0 then dropped = redis.call('XTRIM', KEYS[2], 'MINID', '=', from) end
return dropped
