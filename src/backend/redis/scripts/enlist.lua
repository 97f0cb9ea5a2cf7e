-- Keeps a topic in the index until it is not used any more, by the one clock that all brokers share.
-- KEYS: index   ARGV: 1 topic   2 seconds; '' for ever
local score = '+inf'
if ARGV[2] ~= '' then score = redis.call('TIME')[1] + tonumber(ARGV[2]) end
-- Never sooner than was said before: another broker may know better that it is durable.
return redis.call('ZADD', KEYS[1], 'GT', score, ARGV[1])
