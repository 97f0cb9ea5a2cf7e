-- A live topic: one entry for all events.
local count = format('%d', events)
if trims then
  added = redis.pcall('XADD', stream, 'MINID', '~', format('%d-%d', epoch, keep),
    id, 't', now, 'n', count, 'e', body)
else
  added = redis.pcall('XADD', stream, id, 't', now, 'n', count, 'e', body)
end
grown = grown + #body
if grown > max_bytes and type(added) ~= 'table' then
  -- Counted from the newest back, once for every quarter of the bound that was published.
  grown = 0
  local oldest, from = nil, '+'
  while not oldest do
    local page = call('XREVRANGE', stream, from, '-', 'COUNT', 16)
    if #page == 0 then break end
    for i = 1, #page do
      local fields = page[i][2]
      grown = grown + #fields[#fields]
      if grown > max_bytes * 0.75 and page[i][1] ~= id then
        oldest = page[i][1]
        break
      end
    end
    from = '(' .. page[#page][1]
  end
  if oldest then call('XTRIM', stream, 'MINID', '=', oldest) end
end
