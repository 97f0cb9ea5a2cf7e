-- One page of a topic's history, with what the topic has reached in the same instant. What stands
-- above that is nobody's; of an entry larger than any of ours only its name and size are told.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1, 2 epoch and sequence to read after   3 bytes and 4 entries after which a page is full
--       5 bytes of the largest entry
-- Returns: epoch, last sequence ('' without a topic), 1 where the page goes to the end, entries;
--          DAMAGED where the hash does not tell
local field = redis.call('HGET', KEYS[1], 'at')
local at = where(field)
if field and not at then
  return redis.error_reply('DAMAGED the hash does not tell what the topic has reached')
end
local epoch, last, top = '', '', '+'
if at then
  epoch, last = string.format('%d', at[1]), string.format('%d', at[3])
  top = epoch .. '-' .. last
end
if at and epoch == ARGV[1] and last == ARGV[2] then return { epoch, last, 1, {} } end
local from = ARGV[1] .. '-' .. ARGV[2]
-- The entry that holds the position, where there is more in it.
local x = redis.call('XREVRANGE', KEYS[2], from, ARGV[1] .. '-0', 'COUNT', 1)[1]
if x then
  local begins = tonumber(string.match(x[1], '%d+$'))
  local holds = x[2][3] == 'n' and whole(x[2][4]) or 1
  from = begins + holds - 1 > tonumber(ARGV[2]) and x[1] or '(' .. x[1]
end
-- No life has the epoch 0.
if ARGV[1] == '0' then from = '1-0' end
local entries, bytes, complete = {}, 0, 0
repeat
  local page = redis.call('XRANGE', KEYS[2], from, top, 'COUNT', 4)
  for i = 1, #page do
    local size, fields = 0, page[i][2]
    for j = 1, #fields do size = size + #fields[j] end
    if size > tonumber(ARGV[5]) then
      page[i][2] = fields[3] == 'n' and #fields[4] < 20 and { 'n', fields[4] } or {}
      size = 0
    end
    entries[#entries + 1] = page[i]
    bytes = bytes + size
  end
  if #page < 4 then complete = 1 else from = '(' .. page[4][1] end
until complete == 1 or bytes >= tonumber(ARGV[3]) or #entries >= tonumber(ARGV[4])
return { epoch, last, complete, entries }
