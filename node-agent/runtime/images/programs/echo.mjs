// Answers every HTTP request with who was asked, and what: what the echo-server images do. Plain JavaScript: it runs inside containers, as
// it is.
//   echo.mjs [--port N] [--format text|json] [--text TEMPLATE]
// PORT in the environment overrides the port. {hostname} in the template becomes the pod's name.
import { createServer } from 'node:http'
import { hostname as nodeName } from 'node:os'
import { parseArgs } from 'node:util'

// Where a pod has no host name of its own, its environment has it.
const hostname = () => process.env.HOSTNAME || nodeName()
const { values } = parseArgs({
  strict: false,
  options: { port: { type: 'string', default: '8080' }, format: { type: 'string', default: 'text' }, text: { type: 'string' } },
})
const port = Number(process.env.PORT || process.env.HTTP_PORT || values.port)

const server = createServer(async (request, response) => {
  try {
    const parts = []
    for await (const part of request) parts.push(part)
    const body = Buffer.concat(parts).toString()
    const url = new URL(request.url ?? '/', 'http://localhost')
    const client = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    if (values.text !== undefined) return void response.end(values.text.replaceAll('{hostname}', hostname()) + '\n')
    if (values.format === 'json') {
      const answer = {
        hostname: hostname(),
        host: { hostname: request.headers.host ?? '', ip: client },
        http: { method: request.method, path: url.pathname, originalUrl: request.url, protocol: 'http' },
      }
      const text = JSON.stringify(
        {
          ...answer,
          request: { query: Object.fromEntries(url.searchParams), body, headers: request.headers },
          environment: { HOSTNAME: hostname() },
        },
        null,
        2,
      )
      return void response.setHeader('content-type', 'application/json').end(text + '\n')
    }
    const lines = [
      `Hostname: ${hostname()}`,
      '',
      'Request Information:',
      `\tclient_address=${client}`,
      `\tmethod=${request.method}`,
      `\treal path=${url.pathname}`,
      `\tquery=${url.search.slice(1)}`,
    ]
    lines.push(
      `\trequest_version=${request.httpVersion}`,
      '\trequest_scheme=http',
      `\trequest_uri=http://${request.headers.host ?? ''}${request.url}`,
      '',
      'Request Headers:',
    )
    for (const [name, value] of Object.entries(request.headers)) lines.push(`\t${name}=${value}`)
    lines.push('', 'Request Body:', body || '\t-no body in request-', '')
    response.setHeader('content-type', 'text/plain').end(lines.join('\n'))
  } catch {
    response.destroy()
  }
})
server.on('error', error => {
  console.error(error.message)
  process.exit(1)
})
server.listen(port, () => console.log(`listening on port ${port}`))
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    // Requests in flight get their answer.
    server.close(() => process.exit(0))
    server.closeIdleConnections()
    setTimeout(() => process.exit(0), 5000).unref()
  })
}
