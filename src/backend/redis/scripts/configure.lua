-- Changes how a topic is kept, if nobody else changed it meanwhile. A durable topic never becomes a live
-- one: that would take from it what it keeps.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 version   2 mode   3, 4, 5 events, bytes and milliseconds to keep
-- Returns: the new version; 0 where another one is in force
local at = where(redis.call('HGET', KEYS[1], 'at'))
if not at or at[2] ~= tonumber(ARGV[1]) then return 0 end
local mode = redis.call('HGET', KEYS[1], 'mode')
if mode == 'durable' and ARGV[2] ~= 'durable' then return 0 end
at[2] = at[2] + 1
redis.call('HSET', KEYS[1], 'at', struct.pack(AT, unpack(at)), 'mode', ARGV[2], 'max_events', ARGV[3],
  'max_bytes', ARGV[4], 'max_age', ARGV[5])
if ARGV[2] == 'durable' then
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[2])
end
return at[2]
