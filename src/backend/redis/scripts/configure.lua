-- Changes how a topic is kept, if nobody else changed it meanwhile.
-- KEYS: topic's hash   ARGV: 1 version   2, 3 history, in events and bytes
local at = where(redis.call('HGET', KEYS[1], 'at'))
if not at or at[2] ~= tonumber(ARGV[1]) then return 0 end
at[2] = at[2] + 1
redis.call('HSET', KEYS[1], 'at', struct.pack(AT, unpack(at)), 'history', ARGV[2], 'bytes', ARGV[3])
return at[2]
