-- release_after: seconds, 'never' or '' for no change -> status, phase
if not alive then
  return GONE
end
tick()
meta.seen = stamp(now)
if ARGV[1] == 'never' then
  meta.release_after = nil
elseif ARGV[1] ~= '' then
  meta.release_after = ARGV[1]
end
write_records()
return cjson.encode({ 'OK', meta.phase })
