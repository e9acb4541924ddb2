-- node, worker, lease -> status, journal id, offset
if not alive then
  return GONE
end
tick()
local node, worker, lease = unpack(ARGV)
local journal, leased = record('journal', node), call('ZSCORE', P .. 'watch', node)
if not leased then
  return '["NONE"]'
end
if tonumber(leased) > now and journal.worker ~= worker then
  return '["TAKEN"]'
end
call('ZADD', P .. 'watch', stamp(now + lease), node)
journal.worker = worker
save(journal)
write_records()
return cjson.encode({ 'OK', journal.id or '', journal.offset or 0 })
