-- After publish_begin.lua, where events have keys or the topic is to be where the publisher thinks: takes
-- out the events that were stored before. An event's key stands for who published it, its source and its
-- id. What remains is stored by the rest as if nothing else had come.
-- Two hashes of the topic hold what was published lately: by key, where it was stored, and by '' when the
-- hash was begun. The younger one is written to until it is a window old, and then the other, emptied,
-- becomes the younger one (publish_remember.lua). So a key is known for at least one window, and for two at
-- most. Where nothing is published any more they end by themselves, a window later, so that it is not
-- Redis who drops millions of fields at once, waiting for the end of it. Where brokers name different windows, the shortest holds.
-- A key counts as long as this Redis knows of the life in which its event was stored, the present one or
-- one in `lives`, and that life has reached so far: whatever removed the topic or took it back, a key that
-- was left behind answers for no event that was never there. Keys go back in time together with the events,
-- as Redis writes a script's commands to its log and its replicas as one.
-- All is told of events that are stored already before anything is expected of the topic: a publish that is
-- sent again is answered as it was the first time.
-- KEYS: also 3, 4 the two hashes
-- ARGV: of a live topic, too, the events each by itself after the bridge's channel; last numbers of eight
--       bytes, milliseconds of the window (0 none), '1' where the topic is to be at an epoch and a sequence,
--       these two, and with a window a key of twelve bytes for each event, zeros for none
-- Returns: what stands before the body, and of each event that was stored before three numbers of eight
--          bytes: its index, epoch and sequence. Where that is all of them, or where the topic is not as
--          expected, nothing is written, and the first sequence is the one that would come next; for the
--          latter it returns one part
local spread, numbers = _G.unpack, ARGV[#ARGV]
local window, expects, expected, expected_last = unpack('<I8I8I8I8', numbers)
ARGV[#ARGV] = nil
local read = t[1] * 1000000 + t[2]
local young, old, begun = KEYS[3], KEYS[4], -1
local remembered, fresh, repeated = {}, {}, {}
-- Epochs are microseconds: forty bits tell those apart that are known of one topic.
local function tag(of) return of % 2 ^ 40 end
if window > 0 then
  local fields, asked, lives = { '' }, {}, nil
  for i = 1, events do
    local key = string.sub(numbers, 21 + 12 * i, 32 + 12 * i)
    if string.find(key, '[^%z]') then
      fields[#fields + 1] = key
      asked[i] = #fields
    end
  end
  local one, other = call('HMGET', young, spread(fields)), call('HMGET', old, spread(fields))
  local function begins(field) return field and #field == 8 and unpack('<I8', field) or -1 end
  local before
  begun, before = begins(one[1]), begins(other[1])
  if before > begun then
    young, old, one, other = old, young, other, one
    begun, before = before, begun
  end
  -- All that is in them is older than a window.
  local age, most = read - begun, 2 * window * 1000
  if age >= window * 1000 or read - before >= most then other = {} end
  if age >= most then one = {} end
  local function stored(value)
    if not value or #value ~= 12 then return nil end
    local life, sequence = unpack('<I5I7', value)
    if life == tag(epoch) then
      if sequence <= reached then return pack('<I8I8', epoch, sequence) end
      return nil
    end
    lives = lives or call('HGET', hash, 'lives') or ''
    for former, last in string.gmatch(lives, '(%d+):(%d+)') do
      former = tonumber(former)
      if life == tag(former) and sequence <= tonumber(last) then return pack('<I8I8', former, sequence) end
    end
  end
  local seen = {}
  for i = 1, events do
    local key = asked[i] and fields[asked[i]]
    local at = key and (seen[key] or stored(one[asked[i]]) or stored(other[asked[i]]))
    if at then
      repeated[#repeated + 1] = pack('<I8', i - 1) .. at
    else
      fresh[#fresh + 1] = i
      if key then
        local sequence = reached + #fresh
        seen[key] = pack('<I8I8', epoch, sequence)
        remembered[#remembered + 1] = key
        remembered[#remembered + 1] = pack('<I5I7', tag(epoch), sequence)
      end
    end
  end
end
told = table.concat(repeated)
if #repeated == events then
  return { pack('<c5I8c1I8c1I8', '\245\84\68\1\9', first, '\17', us, '\25', epoch), told }
end
if expects == 1 then
  local as_expected = expected == epoch and expected_last == reached
  if expected == 0 and expected_last == 0 then
    -- Nothing was ever published, in no life.
    as_expected = reached == 0
    for last in string.gmatch(call('HGET', hash, 'lives') or '', '%d+:(%d+)') do
      as_expected = as_expected and last == '0'
    end
  end
  if not as_expected then
    return { pack('<c5I8c1I8c1I8', '\245\84\68\1\9', first, '\17', us, '\25', epoch) }
  end
end
if #repeated > 0 then
  -- The events that remain move together, and behind them their messages for the bridge.
  local all, bridged = #ARGV, #ARGV > 4 + events
  for n = 1, #fresh do ARGV[4 + n] = ARGV[4 + fresh[n]] end
  local last = 4 + #fresh
  if bridged then
    for n = 1, #fresh do ARGV[last + n] = ARGV[4 + events + fresh[n]] end
    last = last + #fresh
  end
  for i = last + 1, all do ARGV[i] = nil end
  events = #fresh
end
