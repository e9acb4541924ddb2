-- limit -> status, more
if not meta.phase then
  return '["GONE",0]'
end
if meta.phase ~= 'RELEASED' and meta.phase ~= 'EXPIRED' then
  return '["CLOSED",1]'
end
meta.phase = 'EXPIRED'
save(meta)
write_records()

local OWNED = {
  'attr', 'cond', 'users', 'out', 'busy', 'line', 'wait:DISCOVERED', 'wait:RESERVED',
  'wait:PROVISIONED', 'wait:READY', 'wait:STARTED', 'wait:STOPPED', 'wait:FINISHED',
  'wait:FAILED', 'wait:RELEASED',
}

for _, guid in ipairs(call('LPOP', P .. 'rms', ARGV[1]) or {}) do
  local keys = {}
  for i, kind in ipairs(OWNED) do
    local head, tail = match(kind, '^(%l+)(.*)$')
    keys[i] = P .. head .. ':' .. guid .. tail
  end
  call('UNLINK', unpack(keys))
end
if call('EXISTS', P .. 'rms') == 1 then
  return '["OK",1]'
end
for _, id in ipairs(call('HKEYS', P .. 'order')) do
  call('UNLINK', P .. 'list:' .. id)
end
for _, id in ipairs(call('HKEYS', P .. 'group')) do
  call('UNLINK', P .. 'wait:@' .. id)
end
for kind in gmatch('rms rm step group order request journal todo alarm watch ev meta', '%l+') do
  call('UNLINK', P .. kind)
end
return '["OK",0]'
