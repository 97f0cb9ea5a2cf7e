-- Changes what is registered, if nothing at all was changed since it was read.
-- KEYS: records, index
-- ARGV: 1 revision that was read, '0' none   2 channel   3 the record; '' takes away what is named
--       4 ... names, <type>/<version>; of a record there is one
-- Returns: the new revision; '' where another one is in force
local now = whole(redis.call('HGET', KEYS[1], ':revision')) or 0
if now ~= tonumber(ARGV[1]) then return '' end
-- Goes with the time, so that it never comes back to what it was before Redis lost something.
local t = redis.call('TIME')
local revision = string.format('%.0f', math.max(now + 1, t[1] * 1000000 + t[2]))
for i = 4, #ARGV do
  if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[3])
    redis.call('ZADD', KEYS[2], revision, ARGV[i])
  end
end
redis.call('HSET', KEYS[1], ':revision', revision)
if ARGV[3] == '' then redis.call('HSET', KEYS[1], ':removed', revision) end
redis.call('PUBLISH', ARGV[2], revision)
return revision
