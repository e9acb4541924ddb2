-- node, error -> reply
if not alive then
  return GONE
end
tick()
local node = rm(ARGV[4])
if not node.state then
  return reply('UNKNOWN:' .. ARGV[4])
end
if not node.gone then
  node.gone = ARGV[5]
  save(node)
  call_with('RPUSH', P .. 'list:gone.' .. node._id, with_users({ node._id }))
  call('RPUSH', P .. 'todo', 'x|' .. node._id)
end
return reply('OK')
