-- guid, occasion, outcome, age, info, lengths of two lists, attributes, outputs -> reply
if not alive then
  return GONE
end
tick()
local guid, occ, outcome, age, info = unpack(ARGV, 4, 8)
local time = now - max(0, tonumber(age))
local r = rm(guid)
if tostring(r.occ) ~= occ then
  return reply('OK')
end
local command = ENDED[r.state] and 'HSETNX' or 'HSET'
local split = 11 + ARGV[9]
for i = 11, #ARGV, 2 do
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
