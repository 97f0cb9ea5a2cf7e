-- Puts what a broker knows to be registered in place of what Redis holds, where Redis lost some of it: all at
-- once, from keys to which it was written before, if nobody changed anything meanwhile.
-- KEYS: records, index, and those to put in their place
-- ARGV: 1 revision that Redis holds, '0' none   2 revision to go on from   3 channel   4 how many records
-- Returns: the new revision; '' where another one is in force, or what was written is not whole any more
local count = tonumber(ARGV[4])
if redis.call('HLEN', KEYS[3]) ~= count or redis.call('ZCARD', KEYS[4]) ~= count then return '' end
if (whole(redis.call('HGET', KEYS[1], ':revision')) or 0) ~= tonumber(ARGV[1]) then return '' end
local t = redis.call('TIME')
local revision = string.format('%.0f', math.max(tonumber(ARGV[2]) + 1, t[1] * 1000000 + t[2]))
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[3], ':revision', revision, ':removed', revision)
redis.call('RENAME', KEYS[3], KEYS[1])
redis.call('PERSIST', KEYS[1])
if count > 0 then
  redis.call('RENAME', KEYS[4], KEYS[2])
  redis.call('PERSIST', KEYS[2])
end
redis.call('PUBLISH', ARGV[3], revision)
return revision
