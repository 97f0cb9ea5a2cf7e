-- A page of what was registered after a revision, oldest first.
-- KEYS: records, index
-- ARGV: 1 revision   2 bytes of records of a page (one more may follow)   3 records of a page
-- Returns: the revision of all, '0' where nothing was ever registered; that of the last change that took
--          something away, '0' none; how many records there are; 1 if nothing follows the page; name,
--          revision, record of each
local function number_of(field)
  return string.format('%.0f', whole(redis.call('HGET', KEYS[1], field)) or 0)
end
local revision, removed = number_of(':revision'), number_of(':removed')
local count = redis.call('ZCARD', KEYS[2])
if revision == ARGV[1] then return {revision, removed, count, 1, {}} end
local limit = tonumber(ARGV[3])
local names = redis.call('ZRANGE', KEYS[2], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, limit,
  'WITHSCORES')
local page, bytes, at = {}, 0, 1
while at < #names and bytes < tonumber(ARGV[2]) do
  local record = redis.call('HGET', KEYS[1], names[at]) or ''
  bytes = bytes + #record
  page[#page + 1] = names[at]
  page[#page + 1] = string.format('%.0f', tonumber(names[at + 1]))
  page[#page + 1] = record
  at = at + 2
end
return {revision, removed, count, (at > #names and #names < 2 * limit) and 1 or 0, page}
