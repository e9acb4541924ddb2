-- node, worker, journal id, offset, since -> status
if not alive then
  return GONE
end
local node, id, offset, since = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if not call('ZSCORE', P .. 'watch', node) then
  return '["NONE"]'
end
local journal = record('journal', node)
local known = journal.id == id and journal.offset or 0
if known < since then
  return '["BEHIND"]'
end
journal.id, journal.offset = id, max(known, offset)
save(journal)
write_records()
return '["OK"]'
