-- node, holder, journal id, offset, since -> status
if not alive then
  return GONE
end
local node, holder, id, offset, since = unpack(ARGV)
offset, since = tonumber(offset), tonumber(since)
if not call('ZSCORE', P .. 'watch', node) then
  return '["NONE"]'
end
local journal = record('journal', node)
if journal.worker ~= holder then
  return '["TAKEN"]'
end
local known = journal.id == id and journal.offset or 0
if known < since then
  return '["BEHIND"]'
end
journal.id, journal.offset = id, max(known, offset)
save(journal)
write_records()
return '["OK"]'
