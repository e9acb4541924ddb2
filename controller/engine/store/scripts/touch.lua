-- -> status, phase
if not alive then
  return GONE
end
tick()
meta.seen = stamp(now)
write_records()
return cjson.encode({ 'OK', meta.phase })
