import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, it } from 'vitest'
import { withoutCompilers } from '#control-plane/cli/tiering.ts'

const tiering = path.resolve(import.meta.dirname, '../../../control-plane/cli/tiering.ts')

/** Serves by a protocol; says whether a function that is called all the time is compiled, before each of three requests and after them. */
const script = (server: string, request: string): string => `
  import { compileAfter } from ${JSON.stringify(tiering)}
  import http from 'node:http'
  import http2 from 'node:http2'
  import { once } from 'node:events'
  const busy = new Function('n', 'let s = 0; for (let i = 0; i < n; i++) s = (s + i * n) | 0; return s')
  const compiled = new Function('f', 'return %ActiveTierIsTurbofan(f) || %ActiveTierIsMaglev(f)')
  const isCompiled = () => { for (let i = 0; i < 3000; i++) busy(300); return compiled(busy) }
  compileAfter(3)
  const server = ${server}.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = 'http://127.0.0.1:' + server.address().port
  const seen = []
  for (let i = 0; i < 3; i++) {
    seen.push(isCompiled())
    await ${request}
  }
  seen.push(isCompiled())
  console.log(JSON.stringify(seen))
  process.exit()`

it.each([
  ['HTTP/1.1', "http.createServer((_, res) => res.end('x'))", 'fetch(url).then(r => r.text())'],
  [
    'HTTP/2',
    "http2.createServer((_, res) => res.end('x'))",
    "(async () => { const c = http2.connect(url); const s = c.request({ ':path': '/' }); s.resume(); await once(s, 'close'); c.close() })()",
  ],
])('functions are compiled when servers have got so many requests, of %s', (_, server, request) => {
  const args = [...withoutCompilers, '--no-concurrent-recompilation', '--allow-natives-syntax', '--disable-warning=ExperimentalWarning']
  const { stdout, stderr } = spawnSync(process.execPath, [...args, '--input-type=module', '-e', script(server, request)], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toEqual([false, false, false, true])
})
