-- A durable topic: an entry for each event. `b` counts the bytes of all events before it: what is kept of
-- them is known without being read. Trimmed by age and bytes it is elsewhere (see trim.lua).
for i = 1, events do
  local event, total = ARGV[4 + i], format('%d', grown)
  if i > 1 then
    call('XADD', stream, format('%d-%d', epoch, reached + i), 't', now, 'n', '1', 'b', total, 'e', event)
  elseif trims then
    added = redis.pcall('XADD', stream, 'MINID', '~', format('%d-%d', epoch, keep),
      id, 't', now, 'n', '1', 'b', total, 'e', event)
  else
    added = redis.pcall('XADD', stream, id, 't', now, 'n', '1', 'b', total, 'e', event)
  end
  if type(added) == 'table' then break end
  grown = grown + #event
end
body = body .. table.concat(ARGV, '', 5, 4 + events)
messages = 5 + events
