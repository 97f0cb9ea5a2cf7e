-- Takes out of the index what was not used for its time.   KEYS: index
local now = redis.call('TIME')[1]
return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
