-- Opens a topic: answers its present life, or begins a new one where this Redis is not the one
-- that the stored life belongs to, where a rollback was proven, or where there is none.
-- One script, so that two brokers that open at once agree.
-- KEYS: topic's hash, topic's stream, deployment's hash
-- ARGV: 1 create: '1' begins a topic that does not exist
--       2 floor: the highest epoch this broker knows, '0' none
--       3 distrusted: an epoch in which a rollback was proven, '' none
--       4, 5 claim: an epoch and the last sequence in it that Redis told this broker, '' none
--       6, 7 mode and history of a topic that is created
--       8 channel of the topic   9 channel of the index   10 topic
--       11 this broker's idea of the deployment's id
--       12 milliseconds after which an idle live topic is forgotten
--       13, 14 a replication id that was seen to turn into another with nothing lost, '' none, and
--       that other
-- Returns: epoch ('' where there is no topic), replication id, last sequence, mode, history,
--          version, deployment's id, lives begun in the deployment, why a life was begun
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return redis.error_reply('READONLY not the primary')
end
-- It is read here and not handed in: what a broker read a moment ago may be stale.
local id = string.match(info, 'master_replid:(%w+)')
local m = redis.call('HMGET', KEYS[1], 'epoch', 'last', 'clock', 'replid', 'mode', 'history', 'version')
local store, births = unpack(redis.call('HMGET', KEYS[3], 'id', 'births'))
local why
if not m[1] then
  if ARGV[1] ~= '1' and redis.call('EXISTS', KEYS[2]) == 0 then
    return { '', id, 0, '', '', '', store or '', births or '', '' }
  end
  why = 'created'
elseif m[1] == ARGV[3] then
  why = 'proof'
elseif m[1] == ARGV[4] and tonumber(m[2]) < tonumber(ARGV[5]) then
  why = 'claim'
elseif m[4] ~= id then
  if ARGV[13] ~= '' and m[4] == ARGV[13] and id == ARGV[14] then
    redis.call('HSET', KEYS[1], 'replid', id)
  else
    why = 'replid'
  end
end
if not why then
  return { m[1], id, tonumber(m[2]), m[5], m[6], m[7], store or '', births or '', '' }
end

local t = redis.call('TIME')
local us = tonumber(t[1]) * 1000000 + tonumber(t[2])
local epoch = math.max(us, tonumber(ARGV[2]) + 1, tonumber(m[1] or '0') + 1)
local top = '0-0'
if redis.call('EXISTS', KEYS[2]) == 1 then
  local x = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #x, 2 do
    if x[i] == 'last-generated-id' then top = x[i + 1] end
  end
  epoch = math.max(epoch, tonumber(string.match(top, '^%d+')) + 1)
end
local old, reached = m[1], m[2]
if not old then old, reached = string.match(top, '^(%d+)-(%d+)$') end
if old == ARGV[4] and tonumber(reached) < tonumber(ARGV[5]) then reached = ARGV[5] end
local lives = redis.call('HGET', KEYS[1], 'lives') or ''
if old ~= '0' then lives = old .. ':' .. reached .. ' ' .. lives end
lives = string.match(lives, '^%S+ %S+ %S+ %S+') or lives

local es = string.format('%.0f', epoch)
local clock = string.format('%.0f', math.max(us, tonumber(m[3] or '0')))
local mode, history, version = m[5] or ARGV[6], m[6] or ARGV[7], m[7] or '1'
redis.call('XADD', KEYS[2], es .. '-0', 'why', why, 'old', old, 'reached', reached, 't', clock)
redis.call('HSET', KEYS[1], 'epoch', es, 'last', '0', 'clock', clock, 'replid', id, 'lives', lives,
  'mode', mode, 'history', history, 'version', version, 'grown', '0', 'widest', '0')
if mode == 'live' then
  redis.call('PEXPIRE', KEYS[1], ARGV[12])
  redis.call('PEXPIRE', KEYS[2], ARGV[12])
end
if not store then
  store = ARGV[11]
  redis.call('HSET', KEYS[3], 'id', store)
end
-- Begins with the time, so that it never comes back to what it was before all was flushed.
if not births then redis.call('HSET', KEYS[3], 'births', string.format('%.0f', us)) end
births = string.format('%.0f', redis.call('HINCRBY', KEYS[3], 'births', 1))
-- An empty batch: who follows a quiet topic hears of the new life at once.
redis.call('PUBLISH', ARGV[8], '\245\84\68\1\9' .. struct.pack('<I8', 0) .. '\17' .. struct.pack('<I8', us)
  .. '\25' .. struct.pack('<I8', epoch) .. '\42' .. string.char(#store) .. store)
redis.call('PUBLISH', ARGV[9], store .. ' ' .. ARGV[10] .. ' ' .. es .. ' ' .. why)
return { es, id, 0, mode, history, version, store, births, why }
