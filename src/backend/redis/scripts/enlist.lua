-- Keeps a topic in the index until it is not used any more, by the one clock that all brokers share.
-- KEYS: index   ARGV: 1 topic   2 seconds
local now = tonumber(redis.call('TIME')[1])
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
