-- Changes how a topic is kept, if nobody else changed it meanwhile.
-- KEYS: topic's hash   ARGV: 1 version   2 history
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'history', ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'version', 1)
