-- node, holder, lease -> status, journal id, offset
if not alive then
  return GONE
end
tick()
local node, holder, lease = unpack(ARGV)
local journal, leased = record('journal', node), call('ZSCORE', P .. 'watch', node)
if not leased then
  return '["NONE"]'
end
if tonumber(leased) > now and journal.worker ~= holder then
  return '["TAKEN"]'
end
call('ZADD', P .. 'watch', stamp(now + lease), node)
journal.worker = holder
save(journal)
write_records()
return cjson.encode({ 'OK', journal.id or '', journal.offset or 0 })
