-- nonce, exp_id, release_after -> status, created
local nonce, exp_id, release_after = unpack(ARGV)
if meta.phase then
  if meta.nonce == nonce then
    return cjson.encode({ 'OK', meta.created })
  end
  return cjson.encode({ 'CLASH', '' })
end
tick()
create_run(nonce, exp_id, release_after)
write_records()
return cjson.encode({ 'OK', stamp(now) })
