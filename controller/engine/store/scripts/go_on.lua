-- -> reply
if not alive then
  return GONE
end
tick()
return reply('OK')
