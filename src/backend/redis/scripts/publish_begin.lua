-- Stores events of a topic and hands them to whoever listens, if the broker's view of the topic is the
-- present one: this, then publish_live.lua or publish_durable.lua, then publish_end.lua; with
-- publish_check.lua and others between them where there is something to be checked (see there). The
-- first write comes after everything that can refuse.
-- Most of its time goes into calling commands and making strings: so it does each once, and what
-- steps with each publish is one field (see at.lua, which is not before this one: it would cost).
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 channel   2 numbers of eight bytes: epoch, version, number of events, events and bytes to keep
--       3 an encoded Batch without fields 1 to 3; of a durable topic without its events
--       4 the bridge's channel, or ''; then each event of a durable topic, as a field of the Batch;
--       then a message for the bridge per event, or none
-- Returns: what stands before the body on the channel, with the first sequence and the publish time;
--          or, where the view is stale or the topic damaged, nothing; OUTOFORDER where the stream takes
--          nothing at that place; REPLID where the topic's life belongs to a Redis under another
--          replication id
local call, pack, unpack, format = redis.call, struct.pack, struct.unpack, string.format
local hash, stream, body = KEYS[1], KEYS[2], ARGV[3]
local epoch, version, events, max_events, max_bytes = unpack('<I8I8I8I8I8', ARGV[2])
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
local first, now = reached + 1, format('%d', us)
local id = format('%d-%d', epoch, first)
-- Never trims into another epoch's share, nor into the entry that holds the oldest event to keep:
-- no entry of this life has more events than the widest. Looking is dear, too: so only who publishes
-- the first of every 64 events looks.
if widest < events then widest = events end
local keep = first - max_events - widest
local trims = keep > 0 and (reached + 63) % 64 + events >= 64
local added, messages, told = nil, 5, nil
