-- Stores a batch of a live topic and hands it to whoever listens, if the broker's view of the
-- topic is the present one. The first write comes after everything that can refuse.
-- Most of its time goes into calling commands and making strings: so it does each once, and what
-- steps with each publish is one field (see at.lua, which is not before this one: it would cost).
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 channel   2 numbers of eight bytes: epoch, version, number of events, history in events
--       and in bytes   3 body: an encoded Batch without fields 1 to 3
--       4 the bridge's channel, then a message for it per event
-- Returns: what stands before the body on the channel, with the first sequence and the publish time;
--          or, where the view is stale or the topic damaged, nothing; OUTOFORDER where the stream takes
--          nothing at that place; REPLID where the topic's life belongs to a Redis under another
--          replication id
local call, pack, unpack, format = redis.call, struct.pack, struct.unpack, string.format
local hash, stream, body = KEYS[1], KEYS[2], ARGV[3]
local epoch, version, events, history, bytes = unpack('<I8I8I8I8I8', ARGV[2])
local at = call('HGET', hash, 'at')
if not at or #at ~= 48 then return false end
local life, kept, reached, clock, grown, widest = unpack('<I8I8I8I8I8I8', at)
if life ~= epoch or kept ~= version then return false end
local ours = 2 ^ 53
if not (reached < ours and clock < ours and grown < ours and widest < ours) then return false end
local t = call('TIME')
local us = t[1] * 1000000 + t[2]
-- Redis may have taken over what another one held and gone back in time with it, behind connections that
-- live on. That takes longer than ten milliseconds, and asking is dear: so only who comes later asks.
if us - clock > 10000 or us < clock then
  local id = 'master_replid:' .. (call('HGET', hash, 'replid') or '') .. '\r'
  if not string.find(call('INFO', 'replication'), id, 1, true) then
    return redis.error_reply('REPLID another Redis begins another life')
  end
  if us < clock then us = clock end
end
local first, count, now = reached + 1, format('%d', events), format('%d', us)
local id = format('%d-%d', epoch, first)
-- Never trims into another epoch's share, nor into the entry that holds the oldest event to keep:
-- no entry of this life has more events than the widest. Looking is dear, too: so only who publishes
-- the first of every 64 events looks.
if widest < events then widest = events end
local keep = first - history - widest
local added
if keep > 0 and (reached + 63) % 64 + events >= 64 then
  added = redis.pcall('XADD', stream, 'MINID', '~', format('%d-%d', epoch, keep),
    id, 't', now, 'n', count, 'e', body)
else
  added = redis.pcall('XADD', stream, id, 't', now, 'n', count, 'e', body)
end
if type(added) == 'table' then
  if string.find(added.err, 'equal or smaller', 1, true)
    or string.find(added.err, 'exhausted', 1, true) then
    return redis.error_reply('OUTOFORDER the stream holds something that the topic has not reached')
  end
  return added
end
grown = grown + #body
if grown > bytes then
  -- Counted from the newest back, once for every quarter of the bound that was published.
  grown = 0
  local oldest, from = nil, '+'
  while not oldest do
    local page = call('XREVRANGE', stream, from, '-', 'COUNT', 16)
    if #page == 0 then break end
    for i = 1, #page do
      local fields = page[i][2]
      grown = grown + #fields[#fields]
      if grown > bytes * 0.75 and page[i][1] ~= id then
        oldest = page[i][1]
        break
      end
    end
    from = '(' .. page[#page][1]
  end
  if oldest then call('XTRIM', stream, 'MINID', '=', oldest) end
end
call('HSET', hash, 'at', pack('<I8I8I8I8I8I8', epoch, version, reached + events, us, grown, widest))
local head = pack('<c5I8c1I8c1I8', '\245\84\68\1\9', first, '\17', us, '\25', epoch)
call('PUBLISH', ARGV[1], head .. body)
for i = 5, #ARGV do
  call('PUBLISH', ARGV[4], ARGV[i])
end
return head
