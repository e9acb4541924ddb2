-- nonce, lease -> status
if state.status ~= 'claimed' or state.nonce ~= ARGV[1] then
  return '["LOST"]'
end
assign('lease', stamp(now + ARGV[2]))
return '["OK"]'
