-- What there is of a topic. Writes nothing.
-- KEYS: topic's hash, topic's stream
-- Returns: epoch ('' where there is no topic), last sequence, { mode, events, bytes and milliseconds
--          to keep }, epoch and sequence of the oldest event ('' none), bytes of the events
local field, mode, events, bytes, age = unpack(redis.call('HMGET', KEYS[1], 'at', 'mode', 'max_events',
  'max_bytes', 'max_age'))
if not field then return { '', '', { '', '', '', '' }, '', '', '0' } end
local at = where(field)
if not at then return redis.error_reply('DAMAGED the topic does not say where it is') end
local epoch, sequence, before, from = '', '', at[5], '-'
while epoch == '' do
  -- The first is a fence, or not; more than one in a row is rare.
  local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 2)
  if #page == 0 then break end
  for i = 1, #page do
    local e, s = string.match(page[i][1], '^(%d+)-(%d+)$')
    if s ~= '0' and epoch == '' then
      epoch, sequence, before = e, s, 0
      local fields = page[i][2]
      for j = 1, #fields, 2 do
        if fields[j] == 'b' then before = whole(fields[j + 1]) or 0 end
      end
    end
  end
  from = '(' .. page[#page][1]
end
if mode ~= 'durable' and epoch ~= '' then before = 0 end
return { string.format('%d', at[1]), string.format('%d', at[3]),
  { mode or '', events or '', bytes or '', age or '' }, epoch, sequence,
  string.format('%.0f', math.max(0, at[5] - before)) }
