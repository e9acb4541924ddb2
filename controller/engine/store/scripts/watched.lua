-- node, worker, journal id, offset -> status
if not alive then
  return GONE
end
local node, id, offset = ARGV[1], ARGV[3], tonumber(ARGV[4])
if not call('ZSCORE', P .. 'watch', node) then
  return '["NONE"]'
end
local journal = record('journal', node)
journal.offset = journal.id == id and max(journal.offset, offset) or offset
journal.id = id
save(journal)
write_records()
return '["OK"]'
