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
if group == 'new' then
  group = format('%d', meta.groups + 1)
end
if group ~= '' then
  meta.groups = max(meta.groups, tonumber(group))
  local barrier = record('group', group)
  barrier.left = (barrier.left or 0) + 1
  save(barrier)
end
local guids = guids_of(ranges)
order.kind, order.group, order.at, order.n = 'deployment', group, 0, #guids
save(order)
call_with('RPUSH', P .. 'list:' .. id, guids)
call('RPUSH', P .. 'todo', 'd|' .. id)
return reply('OK:' .. group)
