-- Something that one broker does for all: who holds it keeps it, and after it has gone another takes it.
-- KEYS: lease   ARGV: 1 broker   2 milliseconds
-- Returns: 1 where the broker holds it
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
