-- For wrk: posts texts to the account that `serve` serves, each to another number.
local number = 2025550000

wrk.method = "POST"
wrk.path = "/2010-04-01/Accounts/AC1/Messages.json"
wrk.headers["Authorization"] = "Basic QUMxOnRva2Vu"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"

function request()
  number = number + 1
  local body = "To=%2B1" .. number .. "&From=%2B15005550001&Body=Hi+Abebe%2C+your+code+is+482913"
  return wrk.format(nil, nil, nil, body)
end
