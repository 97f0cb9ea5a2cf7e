-- Stands before scripts that look for the entry that lies last before a place: the newest from `low` up to `high`,
-- nil without one. Redis goes through the whole stream for XREVRANGE where all of it lies above the place, as
-- it does where what stood there was trimmed: 100 ms for some hundred thousand entries.
local function newest_up_to(stream, high, low)
  if #redis.call('XRANGE', stream, '-', high, 'COUNT', 1) == 0 then return nil end
  return redis.call('XREVRANGE', stream, high, low, 'COUNT', 1)[1]
end
