-- nonce, then per resource manager: guid, record, attributes, conditions, after -> status
-- The last three are lists, each led by its length.
if not alive then
  return GONE
end
if meta.phase ~= 'RUNNING' and meta.phase ~= 'FAILED' then
  return cjson.encode({ 'CLOSED:' .. meta.phase })
end

local nonce, at, guids, items = ARGV[1], 2, {}, {}
while at <= #ARGV do
  local item = { ARGV[at + 1] }
  guids[#guids + 1] = ARGV[at]
  at = at + 2
  for list = 2, 4 do
    item[list] = { at + 1, at + ARGV[at] }
    at = item[list][2] + 1
  end
  items[#items + 1] = item
end
load('rm', guids)
for _, guid in ipairs(guids) do
  local by = rm(guid).by
  if by and by ~= nonce then
    return cjson.encode({ 'CLASH:' .. guid })
  end
end

local function list_at(command, kind, guid, range)
  if range[2] >= range[1] then
    call(command, P .. kind .. ':' .. guid, unpack(ARGV, range[1], range[2]))
  end
end

tick()
local new, values = {}, {}
for i, guid in ipairs(guids) do
  if not rm(guid).by then
    local text, attributes, conditions, after = unpack(items[i])
    if rm(guid).waited then
      local r = cjson.decode(text)
      r.waited = 1
      text = cjson.encode(r)
    end
    new[#new + 1] = guid
    values[#values + 1] = guid
    values[#values + 1] = text
    list_at('HSET', 'attr', guid, attributes)
    list_at('SADD', 'cond', guid, conditions)
    for k = after[1], after[2] do
      call('SADD', P .. 'users:' .. ARGV[k], guid)
    end
    meta.next_guid = max(meta.next_guid, guid + 1)
  end
end
call_with('HSET', P .. 'rm', values)
call_with('RPUSH', P .. 'rms', new)
meta.live = meta.live + #new
write_records()
return '["OK"]'
