-- nonce, lease, most -> status, then each run that waits, the first to end first, and its entry
-- The claim of the process that measures, its renewal, and its end when no run waits.
local nonce, lease, most = unpack(ARGV)
if not state.phase then
  return GONE
elseif state.reader ~= nonce and number('reading') > now then
  return '["BUSY"]'
end
local answer, runs = { 'OK' }, call('LRANGE', C .. 'line', 0, most - 1)
for _, run in ipairs(runs) do
  answer[#answer + 1] = run
  answer[#answer + 1] = call('HGET', C .. 'waiting', run)
end
assign('reader', nonce)
assign('reading', #runs > 0 and stamp(now + lease) or 0)
return cjson.encode(answer)
