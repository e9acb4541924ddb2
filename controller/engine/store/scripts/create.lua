-- nonce, exp_id, release_after -> status, created
local nonce, exp_id, release_after = unpack(ARGV)
if meta.phase then
  if meta.nonce == nonce then
    return cjson.encode({ 'OK', meta.created })
  end
  return cjson.encode({ 'CLASH', '' })
end
tick()
meta.phase, meta.exp_id, meta.nonce = 'RUNNING', exp_id, nonce
meta.server, meta.created, meta.seen = server(), stamp(now), stamp(now)
meta.next_guid, meta.groups, meta.live, meta.requests = 1, 0, 0, 0
if release_after ~= '' then
  meta.release_after = release_after
end
event('RUNNING', '0', now)
write_records()
return cjson.encode({ 'OK', stamp(now) })
