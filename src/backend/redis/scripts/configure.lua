-- Changes how a topic is kept, if nobody else changed it meanwhile.
-- KEYS: topic's hash   ARGV: 1 version   2, 3 history, in events and bytes
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'history', ARGV[2], 'bytes', ARGV[3])
return redis.call('HINCRBY', KEYS[1], 'version', 1)
