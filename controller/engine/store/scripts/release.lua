-- id, all, ranges -> reply
if not alive then
  return GONE
end
tick()
order_release(ARGV[4], ARGV[5] == '1', guids_of(ARGV[6]))
return reply('OK')
