-- Stores a batch of a live topic and hands it to whoever listens, if the broker's view of the
-- topic is the present one. The first write comes after everything that can refuse.
-- KEYS: topic's hash, topic's stream
-- ARGV: 1 epoch   2 version   3 channel   4 history: events to keep   5 history: bytes to keep
--       6 number of events   7 body: an encoded Batch without fields 1 to 3
--       8 the bridge's channel, then a message for it per event
-- Returns: first sequence and publish time; or, where the view is stale or the topic damaged,
--          nothing; OUTOFORDER where the stream takes nothing at that place; REPLID where the topic's
--          life belongs to a Redis under another replication id
-- Enough to count with; `whole`, which asks for our own spelling, costs a tenth of the whole script.
local function count(text)
  local number = tonumber(text or '')
  if number and number >= 0 and number < 2 ^ 53 and number % 1 == 0 then return number end
end
local m = redis.call('HMGET', KEYS[1], 'epoch', 'version', 'last', 'clock', 'grown', 'widest', 'replid')
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return false end
local reached, clock = count(m[3]), count(m[4])
if not (reached and clock) then return false end
local t = redis.call('TIME')
local us = tonumber(t[1]) * 1000000 + tonumber(t[2])
-- Redis may have taken over what another one held and gone back in time with it, behind connections that
-- live on. That takes longer than ten milliseconds, and asking is dear: so only who comes later asks.
if us - clock > 10000 or us < clock then
  local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
  if m[7] ~= id then return redis.error_reply('REPLID another Redis begins another life') end
end
us = math.max(us, clock)
local first, now = reached + 1, string.format('%.0f', us)
local last = first + tonumber(ARGV[6]) - 1
local id = ARGV[1] .. '-' .. string.format('%.0f', first)
-- Never trims into another epoch's share, nor into the entry that holds the oldest event to keep:
-- no entry of this life has more events than the widest.
local widest = math.max(count(m[6]) or 0, tonumber(ARGV[6]))
local keep = first - tonumber(ARGV[4]) - widest
local added
if keep > 0 then
  added = redis.pcall('XADD', KEYS[2], 'MINID', '~', ARGV[1] .. '-' .. string.format('%.0f', keep),
    id, 't', now, 'n', ARGV[6], 'e', ARGV[7])
else
  added = redis.pcall('XADD', KEYS[2], id, 't', now, 'n', ARGV[6], 'e', ARGV[7])
end
if type(added) == 'table' then
  if string.find(added.err, 'equal or smaller', 1, true)
    or string.find(added.err, 'exhausted', 1, true) then
    return redis.error_reply('OUTOFORDER the stream holds something that the topic has not reached')
  end
  return added
end
local grown = (count(m[5]) or 0) + #ARGV[7]
local bytes = tonumber(ARGV[5])
if grown > bytes then
  -- Counted from the newest back, once for every quarter of the bound that was published.
  grown = 0
  local oldest, from = nil, '+'
  while not oldest do
    local page = redis.call('XREVRANGE', KEYS[2], from, '-', 'COUNT', 16)
    if #page == 0 then break end
    for i = 1, #page do
      local fields = page[i][2]
      grown = grown + #fields[#fields]
      if grown > bytes * 0.75 and page[i][1] ~= id then
        oldest = page[i][1]
        break
      end
    end
    from = '(' .. page[#page][1]
  end
  if oldest then redis.call('XTRIM', KEYS[2], 'MINID', '=', oldest) end
end
redis.call('HSET', KEYS[1], 'last', string.format('%.0f', last), 'clock', now, 'grown', grown,
  'widest', widest)
redis.call('PUBLISH', ARGV[3], '\245\84\68\1\9' .. struct.pack('<I8', first) .. '\17' .. struct.pack('<I8', us)
  .. '\25' .. struct.pack('<I8', tonumber(ARGV[1])) .. ARGV[7])
for i = 9, #ARGV do
  redis.call('PUBLISH', ARGV[8], ARGV[i])
end
return { first, now }
