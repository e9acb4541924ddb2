-- grace, broker, id, count, segment -> status, whether to dispatch
local grace, broker, id, n, segment = unpack(ARGV)
if not state.phase then
  return GONE
end
if call('SADD', C .. 'added', id) == 1 then
  call('RPUSH', C .. 'segments', segment)
  count('segments', 1)
  count('total', n)
  if state.phase == 'finished' and tonumber(n) > 0 then
    enter('running')
  end
end
activate(broker)
return cjson.encode({ 'OK', trigger(C, now, tonumber(grace)) and 1 or 0 })
