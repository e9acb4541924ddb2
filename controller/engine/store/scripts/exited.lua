-- node, holder of its watch, guid, occasion, outcome, age, info, lengths of two lists, attributes,
-- outputs -> reply
if not alive then
  return GONE
end
tick()
local node, holder, guid, occ, outcome, age, info = unpack(ARGV, 4, 10)
local time = now - max(0, tonumber(age))
local r = rm(guid)
if holder ~= '' then
  if record('journal', node).worker ~= holder then
    return reply('TAKEN')
  elseif r.host ~= node then -- A host speaks for what is on it.
    return reply('FOREIGN')
  end
end
if tostring(r.occ) ~= occ then
  return reply('OK')
end
-- A restart is noted once, however often it is told. One that is restarted for ever fills nothing.
local MOST_RESTARTS = 100
if outcome == 'RESTARTED' then
  local number = cjson.decode(info).restarts
  if number > (r.restarts or 0) then
    r.restarts = number
    save(r)
    if ARGV[11] ~= '0' then
      call('HSET', P .. 'attr:' .. guid, unpack(ARGV, 13))
    end
    if number <= MOST_RESTARTS then
      event('restart', guid, time, nil, info)
    end
  end
  return reply('OK')
end
local command = ENDED[r.state] and 'HSETNX' or 'HSET'
local split = 13 + ARGV[11]
for i = 13, #ARGV, 2 do
  if i < split then
    call(command, P .. 'attr:' .. guid, ARGV[i], ARGV[i + 1])
  else
    call(command, P .. 'out:' .. guid, occ .. '/' .. ARGV[i], ARGV[i + 1])
  end
end
if r.state == 'STARTED' then
  end_process(r, outcome, time, info)
elseif not ENDED[r.state] and not r.exit then
  r.exit = table.concat({ outcome, stamp(time), info }, '|')
  save(r)
end
return reply('OK')
