/** What a stream leaves behind is collected without a look at the whole heap. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const module = fileURLToPath(import.meta.resolve('#shared/component/younggarbage.ts'))
/** Half a gigabyte through a socket, read in pieces that are put together; prints how often V8 marked the whole heap meanwhile. */
const script = `
  import { once } from 'node:events'
  import { connect, createServer } from 'node:net'
  import { PerformanceObserver, constants } from 'node:perf_hooks'
  import { setImmediate } from 'node:timers/promises'
  import { bytesPassed } from ${JSON.stringify(module)}
  const bytes = 512 << 20
  const server = createServer(async socket => {
    const piece = Buffer.alloc(1 << 20)
    for (let sent = 0; sent < bytes; sent += piece.length) if (!socket.write(piece)) await once(socket, 'drain')
    socket.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  gc()
  let marked = 0
  new PerformanceObserver(list => {
    for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) marked++
  }).observe({ entryTypes: ['gc'] })
  let pieces = []
  for await (const piece of connect(server.address().port)) {
    bytesPassed(piece.length)
    if (pieces.push(piece) === 2) pieces = [Buffer.concat(pieces)].slice(1)
  }
  server.close()
  await setImmediate()
  console.log(marked)
`

test('half a gigabyte passes', async () => {
  const args = ['--max-semi-space-size=64', '--expose-gc', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  expect(Number(stdout)).toBe(0)
})
