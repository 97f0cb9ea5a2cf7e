-- Changes what operators said of one topic, if nothing at all was changed since it was read.
-- KEYS: settings
-- ARGV: 1 version that was read, '0' none   2 topic   3 what is said, '' nothing any more
--       4 channel of the settings
-- Returns: the new version; '' where another one is in force
local now = whole(redis.call('HGET', KEYS[1], ':version')) or 0
if now ~= tonumber(ARGV[1]) then return '' end
-- Begins with the time, so that it never comes back to what it was before all was flushed.
local t = redis.call('TIME')
local version = string.format('%.0f', now > 0 and now + 1 or t[1] * 1000000 + t[2])
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], version .. ' ' .. ARGV[3])
end
redis.call('HSET', KEYS[1], ':version', version)
redis.call('PUBLISH', ARGV[4], version)
return version
