-- node, holder of its watch, good until, error -> reply
if not alive then
  return GONE
end
tick()
local id, holder, good_until, error = unpack(ARGV, 4)
local node = rm(id)
if not node.state then
  return reply('UNKNOWN:' .. id)
end
if node.gone then
  return reply('OK')
end
-- Whoever stood still between its judgement and this call may be wrong by now.
if holder ~= '' then
  local leased = tonumber(call('ZSCORE', P .. 'watch', id) or 0)
  if leased <= now or record('journal', id).worker ~= holder then
    return reply('TAKEN')
  end
end
if good_until ~= '' and now > tonumber(good_until) then
  return reply('LATE')
end
node.gone = error
save(node)
call_with('RPUSH', P .. 'list:gone.' .. id, with_users({ id }))
call('RPUSH', P .. 'todo', 'x|' .. id)
return reply('OK')
