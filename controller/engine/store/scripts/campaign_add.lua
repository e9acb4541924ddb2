-- grace, broker, id, segments, count, segment -> status, whether to dispatch
local grace, broker, id, segments, n, segment = unpack(ARGV)
if not state.phase then
  return GONE
end
if call('SISMEMBER', C .. 'added', id) == 0 then
  -- Another client has added one, which may have the same points.
  if state.segments ~= segments then
    return '["CHANGED",0]'
  end
  call('SADD', C .. 'added', id)
  call('RPUSH', C .. 'segments', segment)
  count('segments', 1)
  count('total', n)
  if state.phase == 'finished' and tonumber(n) > 0 then
    enter('running')
  end
end
activate(broker)
return cjson.encode({ 'OK', trigger(C, now, tonumber(grace)) and 1 or 0 })
