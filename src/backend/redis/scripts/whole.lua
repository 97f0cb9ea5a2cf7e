-- Stands before scripts that read numbers as text. A number as we write it: whole, and told apart by Lua from the next;
-- nil for anything else, whoever wrote it.
local function whole(text)
  local number = string.match(text or '', '^%d+$') and tonumber(text)
  if number and number < 2 ^ 53 and string.format('%.0f', number) == text then return number end
end
