-- Stands before scripts that ask where a topic is: its field `at`, six numbers of eight bytes, read and
-- written as one because each publish steps them: 1 epoch, 2 version of the settings, 3 sequence of the
-- last event, 4 its time, 5 bytes since the last trim, or of all events of a durable topic, 6 events of
-- the largest entry of this life.
-- Nil for what we did not write: no number of ours reaches 2^53, and no life has the epoch 0.
local AT = '<I8I8I8I8I8I8'
local function where(field)
  if not field or #field ~= 48 then return nil end
  local at = { struct.unpack(AT, field) }
  for i = 1, 6 do
    if at[i] >= 2 ^ 53 then return nil end
  end
  return at[1] > 0 and at or nil
end
