/** Copies of requests (RequestMirror), in HAProxy's own Lua: it has no word for them in its configuration. */

export const mirrorFile = 'mirror.lua'

/**
 * The action `lua.mirror NAME`: sends what is asked, with its body as far as that is buffered, to one of the servers of the backend NAME,
 * and waits for nobody. HAProxy's client knows no other methods than these.
 */
export const mirrorScript = `local methods = { GET = 'get', HEAD = 'head', PUT = 'put', POST = 'post', DELETE = 'delete' }
local hop = { connection = true, ['content-length'] = true, ['transfer-encoding'] = true, ['keep-alive'] = true, upgrade = true }

core.register_action('mirror', { 'http-req' }, function(txn, name)
  local method = methods[txn.sf:method()]
  if method == nil then return end
  local servers = {}
  for _, server in pairs(core.backends[name].servers) do
    if not string.find(server:get_stats().status, 'MAINT') then servers[#servers + 1] = server:get_addr() end
  end
  if #servers == 0 then return end
  local headers = {}
  for header, values in pairs(txn.http:req_get_headers()) do
    if not hop[header] then
      local all = {}
      for _, value in pairs(values) do all[#all + 1] = value end
      headers[header] = all
    end
  end
  local query = txn.sf:query()
  local request = {
    url = 'http://' .. servers[math.random(#servers)] .. txn.sf:path() .. (query ~= '' and '?' .. query or ''),
    headers = headers,
    timeout = 5000,
  }
  if method == 'put' or method == 'post' then request.body = txn.sf:req_body() end
  core.register_task(function()
    local client = core.httpclient()
    client[method](client, request)
  end)
end, 1)
`
