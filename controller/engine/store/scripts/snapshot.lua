-- ranges -> status, last id of the stream, phase, cause, states...
if not alive then
  return GONE
end
local last = call('XREVRANGE', P .. 'ev', '+', '-', 'COUNT', 1)[1]
local answer = { 'OK', last and last[1] or '0-0', meta.phase, meta.cause or '' }
local guids = guids_of(ARGV[1])
for at = 1, #guids, 1000 do
  for _, text in ipairs(call('HMGET', P .. 'rm', unpack(guids, at, min(at + 999, #guids)))) do
    answer[#answer + 1] = text and match(text, '"state":"(%u+)"') or ''
  end
end
return cjson.encode(answer)
