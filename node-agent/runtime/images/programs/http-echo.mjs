// hashicorp/http-echo: answers with one text. -text TEXT -listen :5678 -status-code 200
import { createServer } from 'node:http'

const flag = (name, fallback) => {
  const args = process.argv.slice(2)
  const at = args.findIndex(arg => arg.replace(/^--?/, '').split('=')[0] === name)
  if (at < 0) return fallback
  return args[at].includes('=') ? args[at].slice(args[at].indexOf('=') + 1) : args[at + 1]
}
const text = flag('text', process.env.ECHO_TEXT ?? 'hello-world')
const [host, port] = (([, h, p]) => [h || undefined, Number(p)])(/^(.*):(\d+)$/.exec(flag('listen', ':5678')) ?? [null, '', '5678'])
const status = Number(flag('status-code', '200'))

const server = createServer((request, response) => {
  const started = Date.now()
  response.on('finish', () =>
    console.log(
      `${new Date().toISOString()} ${request.headers.host} ${request.socket.remoteAddress} "${request.method} ${request.url} HTTP/${request.httpVersion}" ${status} ${text.length + 1} "${request.headers['user-agent'] ?? ''}" ${Date.now() - started}ms`,
    ),
  )
  request.resume()
  response
    .writeHead(status, { 'X-App-Name': 'http-echo', 'content-type': 'text/plain; charset=utf-8' })
    .end(request.url === '/health' ? '{"status":"ok"}\n' : text + '\n')
})
server.on('error', error => {
  console.error(error.message)
  process.exit(1)
})
server.listen(port, host, () => console.log(`[INFO] server is listening on :${port}`))
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(() => process.exit(0))
    server.closeIdleConnections()
    setTimeout(() => process.exit(0), 5000).unref()
  })
}
