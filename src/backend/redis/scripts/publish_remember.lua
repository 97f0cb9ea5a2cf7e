-- Before publish_end.lua, after publish_check.lua: notes what was stored, where it was.
if type(added) ~= 'table' and #remembered > 0 then
  if begun < 0 or read < begun or read - begun >= window * 1000 then
    -- A clock that was put back: the one that is begun now is the younger one all the same.
    if read < begun then call('HSET', young, '', pack('<I8', read - 1)) end
    young = old
    call('UNLINK', young)
    call('HSET', young, '', pack('<I8', read))
    call('PEXPIREAT', young, format('%d', read / 1000 + 3 * window))
  end
  call('HSET', young, spread(remembered))
end
