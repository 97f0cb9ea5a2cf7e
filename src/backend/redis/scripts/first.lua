-- Stands before scripts that look for a place by what stands in entries. The oldest entry for which it
-- holds, where it holds for everything behind such a one; nil where it holds for none. From the newest
-- life back: within one, sequences rise, so it is searched by halves.
local function first(stream, holds)
  local found, top = nil, '+'
  while true do
    local newest = newest_up_to(stream, top, '-')
    if not newest or not holds(newest[2]) then return found end
    local epoch, high = string.match(newest[1], '^(%d+)-(%d+)$')
    local oldest = redis.call('XRANGE', stream, epoch .. '-0', '+', 'COUNT', 1)[1]
    if holds(oldest[2]) then
      found, top = oldest, '(' .. oldest[1]
    else
      found = newest
      local low, above = tonumber(string.match(oldest[1], '%d+$')), tonumber(high)
      -- No more rounds than a number has bits, whatever stands there.
      for _ = 1, 64 do
        if above - low <= 1 then break end
        local middle = math.floor((low + above) / 2)
        local from = epoch .. '-' .. string.format('%.0f', middle)
        local x = redis.call('XREVRANGE', stream, from, oldest[1], 'COUNT', 1)[1]
        if holds(x[2]) then
          found, above = x, tonumber(string.match(x[1], '%d+$'))
        else
          low = middle
        end
      end
      return found
    end
  end
end

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return whole(fields[i + 1]) end
  end
end
