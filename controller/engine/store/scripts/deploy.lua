-- id, group, ranges -> reply, the group in its status
if not alive then
  return GONE
end
tick()
local id, group, ranges = ARGV[4], ARGV[5], ARGV[6]
local order = record('order', id)
if order.kind then
  return reply('OK:' .. order.group)
end
if meta.phase ~= 'RUNNING' then
  return reply('CLOSED:' .. meta.phase)
end
return reply('OK:' .. order_deployment(id, group, guids_of(ranges)))
