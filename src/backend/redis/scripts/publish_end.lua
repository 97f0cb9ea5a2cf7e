if type(added) == 'table' then
  if string.find(added.err, 'equal or smaller', 1, true)
    or string.find(added.err, 'exhausted', 1, true) then
    return redis.error_reply('OUTOFORDER the stream holds something that the topic has not reached')
  end
  return added
end
call('HSET', hash, 'at', pack('<I8I8I8I8I8I8', epoch, version, reached + events, us, grown, widest))
local head = pack('<c5I8c1I8c1I8', '\245\84\68\1\9', first, '\17', us, '\25', epoch)
call('PUBLISH', ARGV[1], head .. body)
for i = messages, #ARGV do
  call('PUBLISH', ARGV[4], ARGV[i])
end
return told and { head, told } or head
