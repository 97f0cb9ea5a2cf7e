-- One page of a topic's history, with what the topic has reached in the same instant. What stands
-- above that is nobody's; of an entry larger than any of ours only its name and size are told.
-- Many entries of one event are dear to carry through Lua: of those it is told which make a page, for
-- XRANGE to read.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1, 2 epoch and sequence to read after   3 bytes and 4 entries after which a page is full
--       5 bytes of the largest entry   6 entries after which a page is full that XRANGE reads; 0: none is
-- Returns: epoch, last sequence ('' without a topic), 1 where the page goes to the end, entries, none or
--          the ids of the first and last entry that XRANGE is to read; DAMAGED where the hash does not tell
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
if at and epoch == ARGV[1] and last == ARGV[2] then return { epoch, last, 1, {}, {} } end
local from = ARGV[1] .. '-' .. ARGV[2]
-- The entry that holds the position, where there is more in it.
local x = newest_up_to(KEYS[2], from, ARGV[1] .. '-0')
if x then
  local begins = tonumber(string.match(x[1], '%d+$'))
  local holds = x[2][3] == 'n' and whole(x[2][4]) or 1
  from = begins + holds - 1 > tonumber(ARGV[2]) and x[1] or '(' .. x[1]
end
-- No life has the epoch 0.
if ARGV[1] == '0' then from = '1-0' end
-- How many bytes of events lie before an entry of a durable topic.
local function before(x)
  return x and x[2][3] == 'n' and x[2][4] == '1' and x[2][5] == 'b' and whole(x[2][6])
end
local most = tonumber(ARGV[6])
if most > 0 then
  local oldest = redis.call('XRANGE', KEYS[2], from, top, 'COUNT', 1)[1]
  local begins = before(oldest)
  if begins then
    local life, low = string.match(oldest[1], '^(%d+)-(%d+)$')
    low = tonumber(low)
    local first, high = low, low + most - 1
    if life == epoch then high = math.min(high, at[3]) end
    -- The last entry at or below a place, where a page that goes there is not too large.
    local function fits(place)
      local id = life .. '-' .. string.format('%.0f', place)
      local x = redis.call('XREVRANGE', KEYS[2], id, oldest[1], 'COUNT', 1)[1]
      local bytes = before(x)
      return bytes and bytes >= begins and bytes - begins < tonumber(ARGV[3]) and x
    end
    local newest = fits(high)
    if not newest then
      while high - low > 1 do
        local middle = math.floor((low + high) / 2)
        local x = fits(middle)
        if x then low, newest = middle, x else high = middle end
      end
    end
    local ends = newest and tonumber(string.match(newest[1], '%d+$'))
    if ends and ends - first >= tonumber(ARGV[4]) then
      return { epoch, last, 0, {}, { oldest[1], newest[1] } }
    end
  end
end
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
return { epoch, last, complete, entries, {} }
