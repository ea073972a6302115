// The floor of the API server: one Node process that serves HTTPS and does nothing else. Started by floor/https.ts, which writes the
// certificate to its standard input. GET /<n> answers n bytes of JSON; POST answers 2 bytes; GET /watch stays open, and every POST's body
// is written to all that do.
import { createServer } from 'node:https'
import { readFileSync } from 'node:fs'

const { cert, key } = JSON.parse(readFileSync(0, 'utf8'))
const bodies = new Map()
const bodyOf = n => bodies.get(n) ?? (bodies.set(n, Buffer.from(JSON.stringify('x'.repeat(Math.max(0, n - 2))))), bodies.get(n))
const watchers = new Set()

const server = createServer({ cert, key }, (req, res) => {
  if (req.url === '/watch') {
    res.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    watchers.add(res)
    res.on('close', () => watchers.delete(res))
  } else if (req.method === 'GET') {
    const body = bodyOf(Number(req.url.slice(1)))
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
  } else {
    const chunks = []
    req.on('data', chunk => chunks.push(chunk))
    req.on('end', () => {
      const line = Buffer.concat([...chunks, Buffer.from('\n')])
      for (const watcher of watchers) watcher.write(line)
      res.writeHead(201, { 'content-type': 'application/json', 'content-length': 2 }).end('{}')
    })
  }
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
