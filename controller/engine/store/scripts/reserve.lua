-- nonce, count, at -> status, first
if not alive then
  return GONE
end
if meta.phase ~= 'RUNNING' and meta.phase ~= 'FAILED' then
  return cjson.encode({ 'CLOSED:' .. meta.phase, 0 })
end
local nonce, count, at = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last, first = match(meta.reserved or '', '^(.*)|(%d+)$')
if last ~= nonce then
  tick()
  first = max(meta.next_guid, at)
  meta.next_guid = first + count
  meta.reserved = format('%s|%d', nonce, first)
  write_records()
end
return cjson.encode({ 'OK', tonumber(first) })
