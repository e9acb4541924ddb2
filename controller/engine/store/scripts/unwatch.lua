-- node, holder -> status
if not alive then
  return GONE
end
local node, holder = unpack(ARGV)
if not call('ZSCORE', P .. 'watch', node) then
  return '["NONE"]'
end
if record('journal', node).worker ~= holder then
  return '["TAKEN"]'
end
call('ZADD', P .. 'watch', 0, node)
return '["OK"]'
