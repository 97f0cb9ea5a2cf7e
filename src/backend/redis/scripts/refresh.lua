-- Keeps a live topic that is in use from being forgotten: both keys together, or neither.
-- KEYS: topic's hash, topic's stream   ARGV: milliseconds
if redis.call('HGET', KEYS[1], 'mode') ~= 'live' then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
