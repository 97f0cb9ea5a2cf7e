-- Opens a topic: answers its present life, or begins a new one where this Redis is not the one
-- that the stored life belongs to, where a rollback was proven, where what is stored is damaged,
-- or where there is none. One script, so that two brokers that open at once agree.
-- KEYS: topic's hash, topic's stream, deployment's hash
-- ARGV: 1 create: '1' begins a topic that does not exist
--       2 floor: the highest epoch this broker knows, '0' none
--       3 distrusted: an epoch in which a rollback was proven, '' none
--       4, 5 claim: an epoch and the last sequence in it that Redis told this broker, '' none
--       6, 7, 15, 16 mode, and events, bytes and milliseconds to keep, of a topic that is created
--       8 channel of the topic   9 channel of the index   10 topic
--       11 this broker's idea of the deployment's id
--       12 milliseconds after which an idle live topic is forgotten
--       13, 14 a replication id that was seen to turn into another with nothing lost, '' none, and
--       that other
-- Returns: epoch ('' where there is no topic), replication id, last sequence, { mode, events, bytes
--          and milliseconds to keep }, version of the settings, deployment's id, lives begun in the
--          deployment, why a life was begun;
--          MODE where the topic is kept in a way that we know nothing of
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY not the primary')
end
-- It is read here and not handed in: what a broker read a moment ago may be stale.
local id = string.match(info, 'master_replid:(%w+)')
local field, replid, mode, events, bytes, age = unpack(redis.call('HMGET', KEYS[1], 'at', 'replid',
  'mode', 'max_events', 'max_bytes', 'max_age'))
if mode and mode ~= 'live' and mode ~= 'durable' then
  return redis.error_reply('MODE the topic is kept in a way that this broker does not know')
end
local at = where(field)
local present, version, reached, clock, grown = '0', 1, 0, 0, 0
if at then present, version, reached, clock, grown = string.format('%d', at[1]), unpack(at, 2, 5) end
events, bytes = whole(events) and events or ARGV[7], whole(bytes) and bytes or ARGV[15]
age = whole(age) and age or ARGV[16]
local deployment, births = unpack(redis.call('HMGET', KEYS[3], 'id', 'births'))
if deployment and #deployment > 127 then
  return redis.error_reply('DAMAGED the id of the deployment is none of ours')
end
births = whole(births) and births
local why
if not field then
  if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then
    return { '', id, 0, { '', '', '', '' }, 0, deployment or '', births or '', '' }
  end
  why = 'created'
elseif not (at and mode) then
  why = 'damaged'
elseif present == ARGV[3] then
  why = 'proof'
elseif present == ARGV[4] and reached < tonumber(ARGV[5]) then
  why = 'claim'
elseif replid ~= id then
  if ARGV[13] ~= '' and replid == ARGV[13] and id == ARGV[14] then
    redis.call('HSET', KEYS[1], 'replid', id)
  else
    why = 'replid'
  end
end
if not why then
  return { present, id, reached, { mode, events, bytes, age }, version, deployment or '', births or '', '' }
end

local t = redis.call('TIME')
local us = tonumber(t[1]) * 1000000 + tonumber(t[2])
-- Numbers from here on are nobody's: no life is begun above them, whoever told or wrote them.
local ceiling = 2 ^ 52
local epoch = us
for _, known in ipairs({ tonumber(ARGV[2]), tonumber(present) }) do
  if known < ceiling then epoch = math.max(epoch, known + 1) end
end
local top = '0-0'
if redis.call('EXISTS', KEYS[2]) == 1 then
  -- What stands above the place that the topic has reached, or above the ceiling, no broker wrote:
  -- between two lives it would pass for a third.
  local wild = { string.format('%.0f-0', ceiling) }
  if at then wild[2] = string.format('(%d-%d', at[1], reached) end
  for _, from in ipairs(wild) do
    repeat
      local above = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1000)
      for i = 1, #above do redis.call('XDEL', KEYS[2], above[i][1]) end
    until #above < 1000
  end
  local x = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #x, 2 do
    if x[i] == 'last-generated-id' then top = x[i + 1] end
  end
  if tonumber(string.match(top, '^%d+')) >= ceiling then
    local highest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    top = highest and highest[1] or '1-0'
    redis.call('XSETID', KEYS[2], top)
  end
  epoch = math.max(epoch, tonumber(string.match(top, '^%d+')) + 1)
end
local old, last = present, string.format('%d', reached)
if not at then old, last = string.match(top, '^(%d+)-(%d+)$') end
if old == ARGV[4] and tonumber(last) < tonumber(ARGV[5]) then last = ARGV[5] end
local lives = redis.call('HGET', KEYS[1], 'lives') or ''
if old ~= '0' then lives = old .. ':' .. last .. ' ' .. lives end
lives = string.match(lives, '^%S+ %S+ %S+ %S+') or lives

mode = mode or ARGV[6]
if not at then
  -- How many bytes there were the newest entry knows.
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  for i = 1, newest and #newest[2] or 0, 2 do
    if newest[2][i] == 'b' then grown = whole(newest[2][i + 1]) or 0 end
  end
end
-- Of a live topic they count from the last trim, and begin anew.
if mode == 'live' then grown = 0 end

local es = string.format('%d', epoch)
clock = math.max(us, clock)
redis.call('XADD', KEYS[2], es .. '-0', 'why', why, 'old', old, 'reached', last,
  't', string.format('%d', clock), 'b', string.format('%d', grown))
redis.call('HSET', KEYS[1], 'at', struct.pack(AT, epoch, version, 0, clock, grown, 0), 'replid', id,
  'lives', lives, 'mode', mode, 'max_events', events, 'max_bytes', bytes, 'max_age', age)
if mode == 'live' then
  redis.call('PEXPIRE', KEYS[1], ARGV[12])
  redis.call('PEXPIRE', KEYS[2], ARGV[12])
end
-- A broker that tries the scripts out has no idea yet, and names nothing.
if not deployment then
  deployment = ARGV[11]
  if deployment ~= '' then redis.call('HSET', KEYS[3], 'id', deployment) end
end
-- Begins with the time, so that it never comes back to what it was before all was flushed.
if not births then redis.call('HSET', KEYS[3], 'births', string.format('%.0f', us)) end
births = string.format('%.0f', redis.call('HINCRBY', KEYS[3], 'births', 1))
-- An empty batch: who follows a quiet topic hears of the new life at once.
redis.call('PUBLISH', ARGV[8], '\245\84\68\1\9' .. struct.pack('<I8', 0) .. '\17' .. struct.pack('<I8', us)
  .. '\25' .. struct.pack('<I8', epoch) .. '\42' .. string.char(#deployment) .. deployment)
redis.call('PUBLISH', ARGV[9], deployment .. ' ' .. ARGV[10] .. ' ' .. es .. ' ' .. why)
return { es, id, 0, { mode, events, bytes, age }, version, deployment, births, why }
