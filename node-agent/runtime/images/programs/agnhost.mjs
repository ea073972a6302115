// The parts of Kubernetes' agnhost image that tests of a cluster lean on: pause, netexec, serve-hostname.
import { createSocket } from 'node:dgram'
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { hostname } from 'node:os'

const [command = 'pause', ...args] = process.argv.slice(2)
const flag = (name, fallback) => {
  const at = args.findIndex(arg => arg.replace(/^--?/, '').split('=')[0] === name)
  if (at < 0) return fallback
  return args[at].includes('=') ? args[at].slice(args[at].indexOf('=') + 1) : args[at + 1]
}
const started = Date.now()

/** Path to what it answers: [status, body], or a promise of it. */
const netexec = {
  '/': () => [200, `NOW: ${new Date().toISOString()}`],
  '/hostname': () => [200, hostname()],
  '/hostName': () => [200, hostname()],
  '/healthz': () => [200, ''],
  '/readyz': () => [200, ''],
  '/clientip': (url, request) => [200, `${(request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')}:${request.socket.remotePort}`],
  '/echo': url => [Number(url.searchParams.get('code') ?? 200), url.searchParams.get('msg') ?? ''],
  '/header': (url, request) => [200, String(request.headers[(url.searchParams.get('key') ?? '').toLowerCase()] ?? '')],
  '/exit': url => (
    setTimeout(() => process.exit(Number(url.searchParams.get('code') ?? 0)), Number(url.searchParams.get('wait')?.replace('ms', '') ?? 0)),
    [200, '']
  ),
  '/shell': url => shell(url.searchParams.get('shellCommand') ?? url.searchParams.get('cmd') ?? ''),
}

function shell(text) {
  return new Promise(resolve => {
    const child = spawn('/bin/sh', ['-c', text])
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', part => (output += part))
    child.on('close', code => resolve([200, JSON.stringify(code === 0 ? { output } : { output, error: `exit status ${code}` })]))
  })
}

function serve(port, routes) {
  const server = createServer(async (request, response) => {
    try {
      request.resume()
      const url = new URL(request.url ?? '/', 'http://localhost')
      const route = routes[url.pathname] ?? routes['*']
      const [status, body] = route ? await route(url, request) : [404, '404 page not found\n']
      response.writeHead(status).end(body)
    } catch {
      response.destroy()
    }
  })
  server.on('error', error => {
    console.error(error.message)
    process.exit(1)
  })
  server.listen(port, () => console.log(`Started HTTP server on port ${port} after ${Date.now() - started} ms`))
  return server
}

const commands = {
  pause: () => void setInterval(() => {}, 2 ** 30),
  netexec() {
    serve(Number(flag('http-port', '8080')), netexec)
    const port = Number(flag('udp-port', '8081'))
    if (port < 0) return
    const udp = createSocket('udp4').on('error', error => console.error(error.message))
    udp.on('message', (data, from) => {
      const text = data.toString().trim()
      udp.send(
        /^hostname$/i.test(text)
          ? hostname()
          : text.startsWith('echo ')
            ? text.slice(5)
            : text === 'clientip'
              ? `${from.address}:${from.port}`
              : '',
        from.port,
        from.address,
      )
    })
    udp.bind(port)
  },
  'serve-hostname': () => void serve(Number(flag('port', '9376')), { '*': () => [200, hostname()] }),
}
const main = commands[command]
if (!main) {
  console.error(`Error: unknown command "${command}" for "app"`)
  process.exit(1)
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))
main()
