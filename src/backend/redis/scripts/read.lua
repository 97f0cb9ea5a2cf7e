-- One page of a topic's history, with what the topic has reached in the same instant.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1, 2 epoch and sequence to read after   3 bytes and 4 entries after which a page is full
-- Returns: epoch, last sequence ('' without a topic), 1 where the page goes to the end, entries
local m = redis.call('HMGET', KEYS[1], 'epoch', 'last')
if m[1] == ARGV[1] and m[2] == ARGV[2] then return { m[1], m[2], 1, {} } end
local from = ARGV[1] .. '-' .. ARGV[2]
-- The entry that holds the position, where there is more in it.
local x = redis.call('XREVRANGE', KEYS[2], from, ARGV[1] .. '-0', 'COUNT', 1)[1]
if x then
  local begins = tonumber(string.match(x[1], '%d+$'))
  local holds = x[2][3] == 'n' and tonumber(x[2][4]) or 1
  from = begins + holds - 1 > tonumber(ARGV[2]) and x[1] or '(' .. x[1]
end
local entries, bytes, complete = {}, 0, 0
repeat
  local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 4)
  for i = 1, #page do
    entries[#entries + 1] = page[i]
    bytes = bytes + #page[i][2][#page[i][2]]
  end
  if #page < 4 then complete = 1 else from = '(' .. page[4][1] end
until complete == 1 or bytes >= tonumber(ARGV[3]) or #entries >= tonumber(ARGV[4])
return { m[1] or '', m[2] or '', complete, entries }
