-- digest, broker, definition, then fields of the state -> status, whether it is new
if state.phase then
  return state.digest == ARGV[1] and '["OK",0]' or '["CLASH",0]'
end
call('SET', C .. 'definition', ARGV[3])
call('HSET', C .. 'state', 'digest', ARGV[1], 'status', 'idle', 'token', 0, 'total', 0,
  'cursor', 0, 'segments', 0, 'begun', 0, 'finished', 0, 'failed', 0, 'cancelled', 0, 'again', 0, 'skipped', 0,
  'created', stamp(now), unpack(ARGV, 4))
call('ZADD', 'nepiq:campaigns', stamp(now), match(C, '{campaign:(.*)}'))
enter('running')
activate(ARGV[2])
return '["OK",1]'
