-- nonce, then per resource manager: guid, record, attributes, conditions, after -> status
if not alive then
  return GONE
end
if meta.phase ~= 'RUNNING' and meta.phase ~= 'FAILED' then
  return cjson.encode({ 'CLOSED:' .. meta.phase })
end

local nonce = ARGV[1]
local guids, items = resources_at(2)
load('rm', guids)
for _, guid in ipairs(guids) do
  local by = rm(guid).by
  if by and by ~= nonce then
    return cjson.encode({ 'CLASH:' .. guid })
  end
end
tick()
write_resources(guids, items)
write_records()
return '["OK"]'
