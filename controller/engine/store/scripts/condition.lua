-- guid, action, target, milestone, offset -> reply
if not alive then
  return GONE
end
tick()
local guid, action, target, milestone, offset = unpack(ARGV, 4)
for _, known in ipairs({ guid, target }) do
  if not rm(known).state then
    return reply('UNKNOWN:' .. known)
  end
end
if meta.phase ~= 'RUNNING' and meta.phase ~= 'FAILED' then
  return reply('CLOSED:' .. meta.phase)
end
local key, entry = P .. 'cond:' .. guid, table.concat({ action, target, milestone, offset, 'c' }, '|')
if call('SISMEMBER', key, entry) == 1 then
  return reply('OK')
end
local r, s = rm(guid), step(guid .. '.' .. action)
if s.tries and s.status ~= 'void' then
  return reply('TOOLATE:' .. s.status)
end
call('SADD', key, entry)
if s.status == 'waiting' or s.status == 'due' then
  local before = s.due
  gate(s, target, milestone, offset, 'c')
  if s.status == 'due' and s.left == 1 then
    give_up_offer(s)
    s.status, s.sent, s.lined = 'waiting', nil, nil
    alarms[s._id] = false
  elseif s.status == 'due' and s.due ~= before then
    make_due(s)
  end
elseif action == 'stop' and not s.status and step(guid .. '.deploy').status then
  arm_step(r, 'stop', conditions_of(r))
end
pass_on_failure(rm(target)) -- If it has failed, this came too late to be told.
return reply('OK')
