-- Puts back what operators said, where Redis lost it: all at once, if nobody did so meanwhile.
-- KEYS: settings
-- ARGV: 1 version that Redis holds, '0' none   2 version to go on from   3 channel of the settings
--       4 ... topics, each with its value as it was stored
-- Returns: the new version; '' where another one is in force
if (whole(redis.call('HGET', KEYS[1], ':version')) or 0) ~= tonumber(ARGV[1]) then return '' end
local version = string.format('%.0f', tonumber(ARGV[2]) + 1)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], ':version', version)
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PUBLISH', ARGV[3], version)
return version
