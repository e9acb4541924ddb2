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
return expire(ARGV[1]) and '["OK",0]' or '["OK",1]'
